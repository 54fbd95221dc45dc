"""Of which days of a month all is known, by zone: no usage is only said where it is.

Pure, and from the delivery alone, so that a re-run comes to the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from usage_collector.periods import moment
from usage_collector.totals.month import DAY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from usage_collector.packages.manifest import Source
    from usage_collector.totals.month import Line, Month

_Counts = Mapping[tuple[str, str], int]
"""By day and zone."""


def first(sources: Iterable[Source]) -> int | None:
    """When (µs) the first collector began, where no month was before; None otherwise."""
    began = [source.began for source in sources]
    known = [one for one in began if one is not None]
    return min(known) if known and len(known) == len(began) else None


def days(
    sources: Sequence[Source], troubled: Collection[str], month: Month, begin: int
) -> list[Line]:
    """A line for each day of which everything received is in the month, and each zone.

    ``sources`` are the collectors that answered; of ``troubled`` ones something is missing. The
    zone of one that did not answer is not known, and stands as null. A gap may be of any day, so
    that it counts for all of them. Days from ``begin`` (µs) on when there was no collector yet are
    not known; one that came later than others is not missing from the days before, unless it is
    troubled: a collector that lost its volume looks as if it began then.
    """
    silent: Counter[tuple[str, str]] = Counter()
    zones = {source.collector: source.zone for source in sources}
    for line in month.estimates:
        silent[str(line["time"])[:10], zones.get(str(line["collector"]), "")] += 1
    counts: Counter[tuple[str, str]] = Counter()
    for (day, zone, _), amount in month.days.items():
        counts[day, zone] += amount.count
    members: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        members[source.zone].append(source)
    nobody = first(sources)
    since, until = month.covered
    unknown = bool(set(troubled) - zones.keys())
    return [
        line
        for number in range(
            (since if nobody is None else min(since, begin)) // DAY, -(-until // DAY)
        )
        for line in _lines(number, members, troubled, nobody, counts, silent, unknown=unknown)
    ]


def _lines(
    number: int,
    zones: Mapping[str, Sequence[Source]],
    troubled: Collection[str],
    nobody: int | None,
    counts: _Counts,
    silent: _Counts,
    *,
    unknown: bool,
) -> Iterator[Line]:
    day = f"{moment(number * DAY):%Y-%m-%d}"
    for zone, sources in sorted(zones.items()):
        shares = [
            0.0 if share is None or one.collector in troubled else share
            for one in sources
            if (share := _share(one, nobody, number * DAY)) is not None or one.collector in troubled
        ]
        count = counts.get((day, zone), 0)
        if not shares and not count:
            continue
        coverage = sum(shares) / len(shares) if shares else 1.0
        early = [one.early_events for one in sources]
        yield {
            "day": day,
            "zone": zone,
            "coverage": round(coverage, 6),
            "count": count if count or coverage == 1 else None,
            "silent_sessions": silent.get((day, zone), 0),
            "early_events": None
            if None in early
            else sum((one or {}).get(day, 0) for one in early),
        }
    if unknown:
        yield {
            "day": day,
            "zone": None,
            "coverage": 0.0,
            "count": None,
            "silent_sessions": None,
            "early_events": None,
        }


def _share(one: Source, nobody: int | None, begin: int) -> float | None:
    """The part of a day that a collector knows; None where others were there without it.

    Of the time before there was any collector nobody knows.
    """
    unknown = 0 if nobody is None else min(max(nobody - begin, 0), DAY)
    if one.began is None:
        return 1.0
    known = min(max(begin + DAY - max(one.began, begin), 0), DAY)
    return known / (unknown + known) if unknown + known else None
