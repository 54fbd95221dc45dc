"""When a month's export is due."""

from __future__ import annotations

import calendar
import datetime as dt
import functools
import zoneinfo
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container


GRACE = dt.timedelta(days=1)
"""After so long a month that is due is overdue: by then the daily run has come twice."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The day and time of an export, as the resource gives them.

    ``day`` is LastWorkingDay (of the month itself) or 1 to 28 (of the following month); ``at`` is
    HH:MM in ``zone``.
    """

    day: int | str
    at: str
    zone: str
    country: str | None = None
    dates: tuple[str, ...] = ()


@functools.lru_cache(maxsize=256)
def _days_off(country: str | None, year: int) -> frozenset[dt.date]:
    """Give the weekends and public holidays of a year, of no country Saturdays and Sundays.

    A country's take milliseconds to work out.
    """
    first, last = (dt.date(year, *day).toordinal() for day in ((1, 1), (12, 31)))
    days = map(dt.date.fromordinal, range(first, last + 1))
    if not country:
        return frozenset(day for day in days if day.weekday() >= 5)
    import holidays  # takes a third of a second, and few ask for it

    works = holidays.country_holidays(country, years=year).is_working_day
    return frozenset(day for day in days if not works(day))


def _free(rule: Rule, year: int) -> Container[dt.date]:
    """Give the days of a year on which nobody works."""
    return _days_off(rule.country, year) | {dt.date.fromisoformat(date) for date in rule.dates}


def _last_working_day(rule: Rule, year: int, month: int) -> dt.date:
    """Give the month's last day that is neither on its country's weekend nor a holiday.

    A month of holidays only has none: its last day stands in.
    """
    free = _free(rule, year)
    last = calendar.monthrange(year, month)[1]
    for number in range(last, 0, -1):
        date = dt.date(year, month, number)
        if date not in free:
            return date
    return dt.date(year, month, last)


def due(rule: Rule, year: int, month: int) -> dt.datetime:
    """Give the moment, in UTC, at which a month's export is due."""
    if isinstance(rule.day, int):
        date = dt.date(*_next(year, month), rule.day)
    else:
        date = _last_working_day(rule, year, month)
    time = dt.time.fromisoformat(rule.at)
    local = dt.datetime.combine(date, time, zoneinfo.ZoneInfo(rule.zone))
    return local.astimezone(dt.UTC)


def following(rule: Rule, now: dt.datetime, after: str | None = None) -> tuple[str, dt.datetime]:
    """Give the next export: its month as YYYY-MM, and when it is due.

    It is the month behind ``after``, the last one exported, also where that is overdue. Where none
    was exported it is the one that falls due next.
    """
    if after is not None:
        year, month = _next(*map(int, after.split("-")))
        return f"{year:04}-{month:02}", due(rule, year, month)
    before = now.astimezone(dt.UTC).replace(day=1) - dt.timedelta(days=40)
    year, month = before.year, before.month
    while (moment := due(rule, year, month)) <= now:
        year, month = _next(year, month)
    return f"{year:04}-{month:02}", moment


def previous(month: str) -> str:
    """Give the month before one, both as YYYY-MM."""
    first = dt.date.fromisoformat(f"{month}-01") - dt.timedelta(days=1)
    return f"{first:%Y-%m}"


def overdue(moment: dt.datetime, now: dt.datetime) -> bool:
    """Tell whether what was due at a moment should be there by now."""
    return moment + GRACE <= now


def _next(year: int, month: int) -> tuple[int, int]:
    return year + month // 12, month % 12 + 1
