"""What one job or session used, from everything that was received of it.

Durations are whole microseconds, so that sums are exact.
"""

from __future__ import annotations

import hashlib
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import msgspec

from usage_collector.events import MAX_DURATION, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from usage_collector.events import Event

SECOND = 1_000_000
HOUR = 3600 * SECOND
EARLY = 60 * SECOND
"""An event dated later than its receipt by more than this tells of a clock that is wrong."""
QUIET = HOUR
"""A session of which nothing was received for this long is taken for ended."""
QUIET_INTERVALS = 3
"""Or for this many of its status intervals, whichever is longer."""
OLDEST = 48 * HOUR
"""A session older than this is taken for ended in any case."""
LONGEST = 256
"""Characters of a text by which usage is told apart, such as a customer's; see `bounded`."""


class Place(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Where an event stands: position ``position`` of a collector's ledger."""

    collector: str
    ledger: str
    position: int


class Use(msgspec.Struct, frozen=True, array_like=True):
    """What one event says of its job or session, and where it stands.

    ``time`` and the durations are µs; ``transport`` is the event's transport id.
    """

    identity: bytes
    transport: bytes
    place: Place
    kind: Outcome
    time: int | None
    duration: int | None
    speech: int
    implausible: bool
    warm_up: bool
    mode: str
    type: str
    language: str
    operating_point: str
    customer: str
    zone: str
    format: str

    @property
    def final(self) -> bool:
        """Whether it is the end of a job or session."""
        return self.kind in (Outcome.DONE, Outcome.ENDED)

    @property
    def counts(self) -> bool:
        """Whether its duration can be billed: not that of what is only announced, or failed."""
        if self.kind in (Outcome.ANNOUNCED, Outcome.FAILED):
            return False
        return self.duration is not None and not self.implausible


def use(event: Event, place: Place, zone: str) -> Use | None:
    """What an event says of usage; None when it says nothing of it.

    Only an end that names no session says something: a status's duration is cumulative, of nobody
    knows what.
    """
    final = event.kind in (Outcome.DONE, Outcome.ENDED)
    if event.kind is Outcome.OTHER or not (final or event.session):
        return None
    return Use(
        identity=event.identity,
        transport=event.transport_id,
        place=place,
        kind=event.kind,
        time=event.time,
        duration=None if event.implausible else _microseconds(event.duration),
        speech=_microseconds(event.speech) or 0,
        implausible=event.implausible,
        warm_up=event.warm_up,
        mode=event.mode,
        type=bounded(event.type),
        language=bounded(event.language),
        operating_point=bounded(event.operating_point),
        customer=bounded(event.customer),
        zone=zone,
        format=bounded(event.format),
    )


def bounded(text: str) -> str:
    """The text, or of a long one its beginning and a hash: whoever sums up keeps each in memory."""
    if len(text) <= LONGEST:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text[: LONGEST - len(digest) - 1]}…{digest}"


def _microseconds(seconds: float | None) -> int | None:
    # A speech duration is not what is billed, so one out of range is left out instead of listed.
    if seconds is None or not 0 <= seconds <= MAX_DURATION:
        return None
    return round(seconds * SECOND)


class Session(msgspec.Struct, frozen=True):
    """One job or session, resolved.

    ``best`` is the event whose duration counts, ``duration`` that duration, ``time`` the earliest
    time stamp of its ends (of an estimate: that of its last status), None when none has one.
    ``finals`` are its ends in the order of their places, ``estimated`` says that there are none.
    """

    best: Use
    duration: int
    time: int | None
    finals: tuple[Use, ...]
    estimated: bool

    @property
    def identity(self) -> bytes:
        """The billing identity."""
        return self.best.identity

    @property
    def warm_up(self) -> bool:
        """Whether it is an engine's own warm-up, which is never billed."""
        return self.best.warm_up

    @property
    def durations(self) -> list[int]:
        """The different durations that its ends claim; more than one is a conflict."""
        return sorted({end.duration for end in self.finals if end.duration is not None})


def awaited(uses: Sequence[Use]) -> Use | None:
    """The event that announced a job of which nothing else is known yet; None: there is none."""
    kinds = {one.kind for one in uses}
    if Outcome.ANNOUNCED not in kinds or kinds & {Outcome.FAILED, Outcome.DONE, Outcome.ENDED}:
        return None
    return min((one for one in uses if one.kind is Outcome.ANNOUNCED), key=lambda one: one.place)


def resolve(uses: Sequence[Use], counted_at: int) -> Session | None:
    """What the events of one identity come to; None when it does not count (yet).

    The longest duration wins and the earliest end dates it. A session without an end is estimated
    from its statuses once it is over for all that is known at ``counted_at`` (µs); one that is
    still alive then is left to the next period.
    """
    if len(uses) == 1 and uses[0].final:  # nearly all of them
        only = uses[0]
        if not only.counts:
            return None
        return Session(only, only.duration or 0, only.time, (only,), estimated=False)
    known = sorted((one for one in uses if one.counts), key=_order)
    finals = tuple(one for one in known if one.final)
    if not known or not (finals or is_over(known, counted_at)):
        return None
    best = known[0] if len(known) == 1 else max(known, key=lambda one: (one.duration, one.final))
    times = [one.time for one in finals or known if one.time is not None]
    time = None if not times else min(times) if finals else max(times)
    return Session(best, best.duration or 0, time, finals, estimated=not finals)


def _order(one: Use) -> tuple[int, Place]:
    return (one.time or 0, one.place)


def is_over(statuses: Iterable[Use], counted_at: int) -> bool:
    """Whether a session that never ended has to be taken for ended.

    When nothing of it came for the longer of an hour and three of its status intervals, or when it
    is older than 48 hours. Without any readable time it is over: nothing else would ever count it.
    """
    times = sorted(one.time for one in statuses if one.time is not None)
    if not times:
        return True
    interval = max((b - a for a, b in pairwise(times)), default=0)
    quiet = max(QUIET, QUIET_INTERVALS * interval)
    return counted_at - times[-1] >= quiet or counted_at - times[0] >= OLDEST


def by_identity(uses: Iterable[Use]) -> Iterator[list[Use]]:
    """The uses of one identity together; they must come sorted by identity."""
    for _, group in groupby(uses, key=lambda one: one.identity):
        yield list(group)
