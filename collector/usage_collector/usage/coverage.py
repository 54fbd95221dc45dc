"""Whether usage is known, by day and zone: "none used" and "nobody knows" are different answers.

What may be missing is a stretch of time at a collector: since it was last heard, or while it had a
ledger that lost its end or cannot be read; and at all of them the time before the first one began.
A collector that came later than the others is not missing from the days before it.
"""

from __future__ import annotations

from collections import defaultdict
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from usage_collector.periods import moment, rfc3339
from usage_collector.usage.asking import text
from usage_collector.usage.states import DAY
from usage_collector.words import many

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from usage_collector.ledger import Status

LATE_DAYS = 2
"""Sessions run for two days at most, so what arrived this long after a day may belong to it."""


class Kind(StrEnum):
    """What is wrong: ledgers, collectors that do not answer, what waits, or nobody was there."""

    GAP = "gap"
    AWAY = "away"
    BEHIND = "behind"
    PENDING = "pending"
    BEFORE = "before"


class Trouble(msgspec.Struct, frozen=True, array_like=True):
    """Why not all is known, and of which stretch (µs); None: open at that end.

    ``kind`` is one of `Kind`, or what a collector of another version says.
    """

    reason: str
    since: int | None = None
    until: int | None = None
    kind: str = Kind.GAP

    def touches(self, first: int, last: int) -> bool:
        """Whether what was received then may belong to these days (since the Unix epoch)."""
        begins = self.since is None or self.since < (last + 1 + LATE_DAYS) * DAY
        return begins and (self.until is None or self.until >= first * DAY)


class Source(msgspec.Struct, frozen=True):
    """A collector that should be covered; ``early`` counts events from the future by day.

    ``began`` is from when on (µs) it was there, None where nobody knows.
    """

    collector: str
    zone: str
    troubles: Sequence[Trouble]
    early: Mapping[int, int]
    began: int | None = None


def first(sources: Iterable[Source]) -> Source | None:
    """The collector that began before all others, as far as is known."""
    known = [one for one in sources if one.began is not None]
    return min(known, key=lambda one: (one.began or 0, one.collector), default=None)


def before(oldest: Source) -> Trouble:
    """What nobody knows of: the time before the first collector began."""
    assert oldest.began is not None  # noqa: S101
    why = f"no collector was there before {moment(oldest.began):%Y-%m-%d %H:%M:%S} UTC"
    return Trouble(why, None, oldest.began, Kind.BEFORE)


def of_ledgers(
    statuses: Sequence[Status], ends: Mapping[str, int], lost: Mapping[str, int]
) -> list[Trouble]:
    """What the ledgers of a collector, the oldest first, say of stretches that they lack.

    ``ends`` are the times (µs) of the last events that can be read, ``lost`` how many positions
    before cannot and were not counted in time. A damaged ledger may have lost its end, up to when
    the next one began, and so may one that came back from a backup.
    """
    found = []
    for status, following in zip(statuses, [*statuses[1:], None], strict=True):
        until = following.began if following else None
        if status.damaged or not status.readable:
            why = status.problem or "it cannot be read"
            since = ends.get(status.id, status.began)
            found.append(Trouble(f"ledger {status.id}: {why}", since, until))
        elif status.unsure:
            since = ends.get(status.id, status.began)
            # Several may have come back that were live at the same time, at other collectors.
            until = min((one.began for one in statuses if one.began > since), default=since)
            why = f"ledger {status.id}: nobody knows what came after position {status.last}"
            found.append(Trouble(why, since, until))
        if status.id in lost:
            why = f"ledger {status.id}: {many(lost[status.id], 'event')} cannot be read"
            found.append(Trouble(why, status.began, until))
    return found


def days(
    sources: Iterable[Source],
    counts: Mapping[tuple[str, ...], Sequence[int]],
    since: int,
    until: int,
    now: int,
    left: Iterable[Source] = (),
) -> list[dict[str, object]]:
    """A line for each day from ``since`` to ``until`` and zone that was there, or was used.

    ``counts`` are sums by day (text) and zone, as `grouping.grouped` has them. Coverage is the
    part of the day's time of which everything received is known, on average of the collectors.
    ``left`` are those that may have been there before all others.
    """
    zones: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        zones[source.zone].append(source)
    oldest = first([*(one for members in zones.values() for one in members), *left])
    for _, zone in counts:
        zones.setdefault(zone, [])
    # Of a zone whose collectors are gone only the time when nobody was there is not known.
    gone = Source("", "", (), {})
    lines = (
        _line(zones[zone] or [gone], oldest, counts.get((text(day), zone)), day, zone, now)
        for day in range(since, until + 1)
        for zone in sorted(zones)
    )
    return [line for line in lines if line]


def _line(
    sources: Sequence[Source],
    oldest: Source | None,
    sums: Sequence[int] | None,
    day: int,
    zone: str,
    now: int,
) -> dict[str, object] | None:
    begin, end = day * DAY, min((day + 1) * DAY, max(now, day * DAY + 1))
    nobody = before(oldest) if oldest else None
    known = (_share(one, nobody, begin, end) for one in sources)
    shares = [share for share in known if share is not None]
    count = sums[0] if sums else 0
    if not shares and not count:
        return None
    lacking = [
        (one, trouble)
        for one in sources
        for trouble in one.troubles
        if _within(trouble, max(begin, one.began or begin), end)
    ]
    if oldest and nobody and _within(nobody, begin, end):
        lacking.append((oldest, nobody))
    covered = sum(shares) / len(shares) if shares else 1.0
    return {
        "day": text(day),
        "zone": zone,
        "coverage": round(covered, 6) if not lacking else min(round(covered, 6), 0.999999),
        # Nothing counted is only said to be nothing used where everything is known.
        "count": count if count or not lacking else None,
        "silent_sessions": sums[3] if sums else 0,
        "early_events": sum(one.early.get(day, 0) for one in sources),
        "problems": [_problem(one.collector, trouble) for one, trouble in lacking],
    }


def _share(one: Source, nobody: Trouble | None, begin: int, end: int) -> float | None:
    """The part of the time that is known of a collector; None where others were there without it.

    Before there was any collector at all nobody knows, and this one could have been there.
    """
    absent = [Trouble("", nobody.until, one.began)] if nobody and one.began is not None else []
    away = _length(absent, begin, end)
    if away == end - begin:
        return None
    lacking = [*one.troubles, *absent, *([nobody] if nobody else [])]
    return 1 - (_length(lacking, begin, end) - away) / (end - begin - away)


def _within(trouble: Trouble, begin: int, end: int) -> bool:
    return (trouble.since is None or trouble.since < end) and (
        trouble.until is None or trouble.until > begin
    )


def _length(troubles: Iterable[Trouble], begin: int, end: int) -> int:
    """How long (µs) any of these lasted between two moments."""
    total, at = 0, begin
    stretches = sorted(
        (begin if one.since is None else one.since, end if one.until is None else one.until)
        for one in troubles
    )
    for since, until in stretches:
        start, stop = max(since, at), min(until, end)
        if stop > start:
            total, at = total + stop - start, stop
    return total


def _problem(collector: str, trouble: Trouble) -> dict[str, object]:
    def time(us: int | None) -> str | None:
        return None if us is None else rfc3339(us)

    return {
        "collector": collector,
        "kind": str(trouble.kind),
        "reason": trouble.reason,
        "since": time(trouble.since),
        "until": time(trouble.until),
    }
