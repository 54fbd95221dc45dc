"""A manifest's content as the figures that people look at. Pure; what is missing counts as none."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_DAYS = 62
"""What one plot shows; a collector that was away for longer brings more, which stand apart."""
_LISTS = (
    *("duplicates", "conflicts", "estimates", "corrections", "implausible"),
    *("carried", "pending"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: jobs and sessions, and their billed seconds."""

    name: str
    count: int
    seconds: float

    @property
    def hours(self) -> float:
        """The same in hours."""
        return self.seconds / 3600


@dataclass(frozen=True, slots=True)
class Day:
    """One day's hours by zone, in the order of the plot's zones; ``whole``: nothing is missing."""

    name: str
    hours: tuple[float, ...]
    count: int
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Days:
    """The days of the plot without any left out, and what is dated on others."""

    zones: tuple[str, ...]
    days: tuple[Day, ...]
    other: Row


def lines(body: Mapping[str, object], name: str) -> list[dict[str, Any]]:
    """One of the content's lists."""
    found = body.get(name)
    return [line for line in found if isinstance(line, dict)] if isinstance(found, list) else []


def part(body: Mapping[str, object], *names: str) -> dict[str, Any]:
    """One of the content's objects, or one inside it."""
    found: object = body
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def amount(line: Mapping[str, Any], name: str = "") -> Row:
    """The counts and seconds of a line."""
    return Row(name, int(line.get("count", 0)), float(line.get("seconds", 0)))


def by(body: Mapping[str, object], *dimensions: str) -> list[Row]:
    """The totals by these dimensions, the largest first."""
    table = lines(part(body, "totals", "after"), "by_" + "_and_".join(dimensions))
    rows = [amount(line, _named(line, dimensions)) for line in table]
    return sorted(rows, key=lambda row: (-row.seconds, row.name))


def _named(line: Mapping[str, Any], dimensions: Sequence[str]) -> str:
    return " · ".join(str(line[name]) for name in dimensions if line.get(name))


def numbers(body: Mapping[str, object]) -> dict[str, int]:
    """How long each list of what is out of the ordinary is."""
    return {name: len(lines(body, name)) for name in _LISTS}


def days(body: Mapping[str, object]) -> Days:
    """The hours by day and zone, of the days that the month covers."""
    table = lines(body, "days")
    zones = tuple(sorted({str(line.get("zone")) for line in table}))
    hours: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(zones))
    counts: dict[str, int] = defaultdict(int)
    for line in table:
        day = str(line.get("day"))
        hours[day][zones.index(str(line.get("zone")))] += amount(line).hours
        counts[day] += amount(line).count
    shown = _covered(part(body, "coverage"), str(body.get("period")))
    rest = hours.keys() - set(shown)
    partly = {str(one["day"]) for one in lacking(body)}
    return Days(
        zones=zones,
        days=tuple(Day(day, tuple(hours[day]), counts[day], day not in partly) for day in shown),
        other=Row(
            "other days",
            sum(counts[day] for day in rest),
            sum(sum(hours[day]) for day in sorted(rest)) * 3600,
        ),
    )


def lacking(body: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The days and zones of which not all is known."""
    return [one for one in uncertain(body) if one.get("coverage") != 1]


def uncertain(body: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The days and zones of which not all is known, or whose engines or clocks went wrong."""
    return [
        line
        for line in lines(part(body, "coverage"), "days")
        if line.get("coverage") != 1 or line.get("silent_sessions") or line.get("early_events")
    ]


def stretches(body: Mapping[str, object]) -> list[tuple[Mapping[str, object], str]]:
    """The lines of `uncertain`, each with the last day that it stands for.

    Days in a row of which nothing at all is known are one line: a month may begin with many.
    """
    found: list[tuple[Mapping[str, object], str]] = []
    newest: dict[str, int] = {}
    for line in uncertain(body):
        zone, day = str(line.get("zone")), str(line.get("day"))
        at = newest.get(zone)
        if at is not None and _goes_on(*found[at], line):
            found[at] = found[at][0], day
        else:
            newest[zone] = len(found)
            found.append((line, day))
    return found


def _goes_on(begun: Mapping[str, object], last: str, line: Mapping[str, object]) -> bool:
    before, day = _day(last), _day(line.get("day"))
    told = (line.get("count"), line.get("silent_sessions") or 0, line.get("early_events") or 0)
    return (
        before is not None
        and day == before + timedelta(days=1)
        and told == (None, 0, 0)
        and {**begun, "day": None} == {**line, "day": None}
    )


def _covered(coverage: Mapping[str, object], period: str) -> Sequence[str]:
    """The days from the last cut, or the month's first, to this cut; else the calendar month's."""
    first = date.fromisoformat(f"{period}-01")
    last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    since, until = _day(coverage.get("since")), _day(coverage.get("until"))
    if since and until and since <= until and until >= first:
        first, last = min(first, since), until
    first = max(first, last - timedelta(days=MOST_DAYS - 1))
    return [f"{first + timedelta(days=n)}" for n in range((last - first).days + 1)]


def _day(text: object) -> date | None:
    try:
        day = date.fromisoformat(str(text)[:10])
    except ValueError:
        return None
    return day if day.year >= 2000 else None
