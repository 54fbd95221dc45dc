"""What is known of one job or session, as little of it as counting needs.

States are merged in any order, any number of times, and at any collector, and come to the same:
that is what lets collectors tell each other what they know without any agreement. A merged state
counts as `sessions.resolve` counts the events it was made from.
"""

from __future__ import annotations

from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from usage_collector.events import Outcome
from usage_collector.sessions import HOUR, OLDEST, QUIET, QUIET_INTERVALS, Use, bounded, use
from usage_collector.totals import DIMENSIONS

if TYPE_CHECKING:
    from usage_collector.events import Event
    from usage_collector.sessions import Place

LABELS = (*DIMENSIONS, "contract")
"""What usage can be grouped by, beside the day."""
DAY = 24 * HOUR
UNKNOWN = "unknown"
"""Stands for labels that were lost."""
_CLOSE = QUIET // QUIET_INTERVALS
"""Statuses that are no further apart do not make a session last longer."""
_labels = attrgetter(*DIMENSIONS)


class State(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """One job or session as far as it is known; times and durations are µs.

    The first fields tell of the event whose duration counts: where it stands, the values of
    `LABELS`, whether it is an end. ``ended`` says whether any end that counts is known, and
    ``end`` when the earliest was; ``statuses`` are the times of the statuses until there is one,
    as many of them as `due` depends on. ``received`` dates what has no time of its own, and is 0
    where nothing needs it. ``dimensions`` are those of `events.dimensions`, or `UNKNOWN` for all.
    """

    identity: bytes
    collector: str
    ledger: str
    position: int
    labels: tuple[str, str, str, str, str, str, str, str]
    final: bool
    warm_up: bool
    time: int | None
    received: int
    duration: int
    speech: int
    ended: bool
    end: int | None
    statuses: tuple[int, ...]
    dimensions: str = ""

    @property
    def due(self) -> int:
        """From when on a session without an end has to be taken for ended (`sessions.is_over`)."""
        if not self.statuses:
            return 0
        interval = max((b - a for a, b in pairwise(self.statuses)), default=0)
        quiet = self.statuses[-1] + max(QUIET, QUIET_INTERVALS * interval)
        return min(quiet, self.statuses[0] + OLDEST)

    @property
    def day(self) -> int:
        """The day it belongs to, in days since the Unix epoch, UTC.

        That of its earliest end; of an estimate, of its last status; without any readable time,
        of its receipt.
        """
        time = self.end if self.ended else self.statuses[-1] if self.statuses else None
        return (self.received if time is None else time) // DAY


def state(event: Event, place: Place, zone: str, received: int) -> State | None:
    """What one event says; None when nothing of it can be counted."""
    said = use(event, place, zone)
    if said is None or not said.counts:
        return None
    return of(said, event.contract, received, event.dimensions)


def of(said: Use, contract: str, received: int, dimensions: str) -> State:
    """The state of a job or session of which only this is known; its duration must count."""
    return State(
        identity=said.identity,
        collector=said.place.collector,
        ledger=said.place.ledger,
        position=said.place.position,
        labels=(*_labels(said), bounded(contract)),
        final=said.final,
        warm_up=said.warm_up,
        time=said.time,
        received=received if said.time is None else 0,
        duration=said.duration or 0,
        speech=said.speech,
        ended=said.final,
        end=said.time if said.final else None,
        statuses=() if said.final or said.time is None else (said.time,),
        dimensions=dimensions,
    )


def purged(identity: bytes, place: Place, zone: str, duration: int, time: int) -> State:
    """A job or session of whose purged end only this is left: the zone, but no other label.

    Nobody is its customer. It yields to whatever a collector still knows of the same end.
    """
    said = Use(
        identity=identity,
        transport=b"",
        place=place,
        kind=Outcome.DONE,
        time=time,
        duration=duration,
        speech=0,
        implausible=False,
        warm_up=False,
        mode=UNKNOWN,
        type=UNKNOWN,
        language=UNKNOWN,
        operating_point=UNKNOWN,
        customer="",
        zone=zone,
        format=UNKNOWN,
    )
    return of(said, "", time, UNKNOWN)


def merged(one: State, other: State) -> State:
    """What both together say; the same whichever comes first, and however often."""
    if one == other:
        return one
    best = one if _rank(one) <= _rank(other) else other
    ended = one.ended or other.ended
    ends = [known.end for known in (one, other) if known.end is not None]
    statuses = () if ended else _telling({*one.statuses, *other.statuses})
    return msgspec.structs.replace(
        best,
        received=min(filter(None, (one.received, other.received)), default=0),
        ended=ended,
        end=min(ends, default=None),
        statuses=statuses,
    )


def _telling(statuses: set[int]) -> tuple[int, ...]:
    """Those of the times of a session's statuses that say when it is over, in their order.

    Few are left of any number: the first and last of each stretch within which no interval counts
    (`sessions.is_over`), or, once it is too old anyway, of all. Taken in any order, and any number
    of times, they come to the same.
    """
    times = sorted(statuses)
    if times and times[-1] - times[0] >= OLDEST:
        return times[0], times[-1]
    last = {time // _CLOSE: time for time in times}
    first = {time // _CLOSE: time for time in reversed(times)}
    return tuple(sorted({*first.values(), *last.values()}))


def _rank(known: State) -> tuple[object, ...]:
    """What decides between two claims, as in `sessions.resolve`; the smallest wins."""
    return (
        -known.duration,
        not known.final,
        known.labels[0] in ("", UNKNOWN),
        known.time or 0,
        known.collector,
        known.ledger,
        known.position,
        # A collector of an older version does not tell them.
        not known.dimensions,
        known.dimensions,
    )
