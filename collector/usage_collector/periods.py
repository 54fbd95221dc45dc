"""Months, when they are due, and windows of time. Knows calendars, never the current time.

Instants are integers: microseconds since the Unix epoch, UTC.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Literal, Self
from zoneinfo import ZoneInfo

from usage_collector.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Container

SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SATURDAY = 5
_UTC_ZONE = ZoneInfo("Etc/UTC")

_INSTANT = re.compile(
    r"(\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](\d{2}:\d{2})(?::(\d{2})(?:[.,](\d{1,18}))?)?\s?([Zz]|[+-]\d{2}(?::?\d{2})?)?)?",
    re.ASCII,
)
_FORM = "write YYYY-MM-DDTHH:MM:SSZ or YYYY-MM-DD; in a URL the plus sign of a zone is written %2B"


def microseconds(moment: datetime) -> int:
    """An aware moment as microseconds since the Unix epoch."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(us: int) -> datetime:
    """The reverse of `microseconds`, in UTC."""
    return _EPOCH + timedelta(microseconds=us)


def rfc3339(us: int) -> str:
    """``2026-10-01T00:00:00Z``; a fraction of six digits only where there is one (RFC 3339)."""
    return moment(us).replace(tzinfo=None).isoformat() + "Z"


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A calendar month, in UTC."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """``2026-10``; `InvalidInput` for anything else."""
        match = re.fullmatch(r"(\d{4})-(\d{2})", text, re.ASCII)
        year, month = (int(match[1]), int(match[2])) if match else (0, 0)
        if not (1970 <= year < 9999 and 1 <= month <= 12):
            raise InvalidInput(f"period {text[:40]!r} is no month", "write YYYY-MM, e.g. 2026-10")
        return cls(year, month)

    @classmethod
    def of(cls, now: datetime) -> Self:
        """The month in which this aware moment lies, in UTC."""
        utc = now.astimezone(UTC)
        return cls(utc.year, utc.month)

    @property
    def next(self) -> Period:
        """The month after."""
        return Period(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def previous(self) -> Period:
        """The month before."""
        return Period(self.year - (self.month == 1), (self.month - 2) % 12 + 1)

    @property
    def start(self) -> int:
        """Its first microsecond."""
        return microseconds(datetime(self.year, self.month, 1, tzinfo=UTC))

    @property
    def end(self) -> int:
        """The first microsecond after it."""
        return self.next.start

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"


@dataclass(frozen=True, slots=True)
class Due:
    """When a period's report is due.

    ``day`` is `LastWorkingDay` (of the month itself) or 1 to 28 (of the following month), ``at`` a
    local time in ``zone``. Saturdays and Sundays are no working days, or the weekends and public
    holidays of ``country`` (ISO 3166), as the package `holidays` knows them; nor are ``dates``.
    """

    day: int | Literal["LastWorkingDay"] = "LastWorkingDay"
    at: time = time(6)
    zone: ZoneInfo = _UTC_ZONE
    country: str | None = None
    dates: frozenset[date] = frozenset()

    def __post_init__(self) -> None:
        if self.day != "LastWorkingDay" and not 1 <= self.day <= 28:
            raise InvalidInput(f"day {self.day} is not possible", "LastWorkingDay, or 1 to 28")
        if self.country and self.country not in _countries():
            raise InvalidInput(
                f"country {self.country!r} has no calendar of holidays",
                "use a code of two capitals such as DE, or list the dates yourself",
            )


def _countries() -> Container[str]:
    from holidays import list_supported_countries  # takes 0.3 s, so only where it is asked for

    return list_supported_countries()


def _works(country: str | None, year: int) -> Callable[[date], bool]:
    """Tells the days of that year on which a country works, whatever its weekend is."""
    if country is None:
        return lambda day: day.weekday() < _SATURDAY
    from holidays import country_holidays

    return country_holidays(country, years=year).is_working_day


def _last_working_day(period: Period, rule: Due) -> date:
    works = _works(rule.country, period.year)
    last = calendar.monthrange(period.year, period.month)[1]
    for number in range(last, 0, -1):
        day = date(period.year, period.month, number)
        if works(day) and day not in rule.dates:
            return day
    return date(period.year, period.month, last)


def due_at(period: Period, rule: Due) -> datetime:
    """The moment a period's report is due, in UTC.

    A month without any working day is due on its last day.
    """
    if rule.day == "LastWorkingDay":
        day = _last_working_day(period, rule)
    else:
        day = date(period.next.year, period.next.month, rule.day)
    return datetime.combine(day, rule.at, tzinfo=rule.zone).astimezone(UTC)


def due_periods(first: Period, now: datetime, rule: Due) -> list[Period]:
    """All periods from ``first`` on whose report is due, oldest first."""
    found = []
    period = first
    while due_at(period, rule) <= now:
        found.append(period)
        period = period.next
    return found


def next_due(now: datetime, rule: Due, exported: Period | None = None) -> tuple[Period, datetime]:
    """The next period to export, and when it is due.

    It is the one behind ``exported``, the last one exported, also where that is overdue; without
    any it is the one that falls due next after ``now``.
    """
    if exported:
        return exported.next, due_at(exported.next, rule)
    period = Period.of(now).previous.previous
    while due_at(period, rule) <= now:
        period = period.next
    return period, due_at(period, rule)


@dataclass(frozen=True, slots=True)
class Window:
    """From ``since_us`` to ``until_us``, both inclusive; None means open."""

    since_us: int | None
    until_us: int | None

    @property
    def since(self) -> str | None:
        """Its beginning in UTC as `parse_window` reads it back."""
        return None if self.since_us is None else rfc3339(self.since_us)

    @property
    def until(self) -> str | None:
        """Its end in UTC; a whole second has no fraction, as `parse_window` reads it back."""
        if self.until_us is None:
            return None
        if self.until_us % SECOND == SECOND - 1:
            return rfc3339(self.until_us - (SECOND - 1))
        # Without its fraction, a moment at the second's very beginning would mean the whole second.
        return moment(self.until_us).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _offset(zone: str | None) -> timezone:
    if not zone or zone in "Zz":
        return UTC
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        raise ValueError(zone)
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if zone[0] == "-" else offset)


def _instant(text: str, *, end: bool) -> int:
    match = _INSTANT.fullmatch(text)
    if not match:
        raise ValueError(text)
    day, clock, second, fraction, zone = match.groups()
    if clock is None:
        clock, second, zone = ("23:59", "59", None) if end else ("00:00", "00", None)
    whole = datetime.fromisoformat(f"{day}T{clock}:{second or '00'}").replace(tzinfo=_offset(zone))
    us = microseconds(whole)
    moment(us)  # refuses what lies outside the years 1 to 9999 once it is in UTC
    if fraction is None:
        return us + (SECOND - 1 if end else 0)
    # What is finer than a microsecond narrows the window: up at its beginning, down at its end.
    numerator, scale = int(fraction) * SECOND, int("1" + "0" * len(fraction))
    return us + (numerator // scale if end else -(-numerator // scale))


def _bound(name: str, text: str | None, *, end: bool) -> int | None:
    if text is None:
        return None
    try:
        return _instant(text.strip(), end=end)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{name}: {text[:60]!r} is no date or time", _FORM) from None


def parse_window(since: str | None, until: str | None) -> Window:
    """A window of time from two ISO 8601 texts, both inclusive.

    A date alone is its whole day, no zone is UTC, and an ``until`` without a fraction includes its
    whole second. `InvalidInput` names the parameter.
    """
    window = Window(_bound("since", since, end=False), _bound("until", until, end=True))
    if (
        window.since_us is not None
        and window.until_us is not None
        and window.since_us > window.until_us
    ):
        raise InvalidInput(f"since {since} is after until {until}", "swap the two")
    return window
