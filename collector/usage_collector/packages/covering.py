"""Of which days of a month all is known, by zone: no usage is only said where it is.

Pure, and from the delivery alone, so that a re-run comes to the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from usage_collector.periods import moment
from usage_collector.totals.month import DAY

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from usage_collector.totals.month import Line, Month


def days(zones: Mapping[str, str], troubled: Collection[str], month: Month) -> list[Line]:
    """A line for each day of which everything received is in the month, and each zone.

    ``zones`` are those of the collectors that answered; of ``troubled`` ones something is missing.
    The zone of one that did not answer is not known, and stands as null. A gap may be of any day,
    so that it counts for all of them: ``coverage`` is the part of the collectors without one.
    """
    silent: Counter[tuple[str, str]] = Counter()
    for line in month.estimates:
        silent[str(line["time"])[:10], zones.get(str(line["collector"]), "")] += 1
    counts: Counter[tuple[str, str]] = Counter()
    for (day, zone, _), amount in month.days.items():
        counts[day, zone] += amount.count
    collectors: dict[str | None, list[str]] = defaultdict(list)
    for name in {**zones, **dict.fromkeys(troubled)}:
        collectors[zones.get(name)].append(name)
    since, until = month.covered
    listed = sorted(collectors.items(), key=lambda item: (item[0] is None, item[0] or ""))
    return [
        _line(f"{moment(number * DAY):%Y-%m-%d}", zone, names, troubled, counts, silent)
        for number in range(since // DAY, (until - 1) // DAY + 1)
        for zone, names in listed
    ]


def _line(
    day: str,
    zone: str | None,
    names: Sequence[str],
    troubled: Collection[str],
    counts: Mapping[tuple[str, str], int],
    silent: Mapping[tuple[str, str], int],
) -> Line:
    whole = sum(name not in troubled for name in names)
    count = counts.get((day, zone), 0) if zone is not None else 0
    return {
        "day": day,
        "zone": zone,
        "coverage": round(whole / len(names), 6),
        "count": count if count or whole == len(names) else None,
        "silent_sessions": silent.get((day, zone), 0) if zone is not None else 0,
    }
