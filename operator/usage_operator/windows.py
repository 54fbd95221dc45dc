"""Maintenance windows: when changes may restart collectors that serve."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from dataclasses import dataclass

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class Window:
    """A window on some days of the week: from ``at`` (HH:MM in ``zone``) for so many hours."""

    days: frozenset[str]
    at: str
    hours: int
    zone: str


def opens(window: Window, now: dt.datetime) -> dt.datetime | None:
    """Give when the window opens next, in UTC; None while it is open."""
    zone, time = zoneinfo.ZoneInfo(window.zone), dt.time.fromisoformat(window.at)
    today = now.astimezone(zone).date()
    # A window of up to a day may have begun the day before.
    for offset in range(-1, 9):
        date = today + dt.timedelta(days=offset)
        if DAYS[date.weekday()] not in window.days:
            continue
        start = dt.datetime.combine(date, time, zone).astimezone(dt.UTC)
        if start > now:
            return start
        if now < start + dt.timedelta(hours=window.hours):
            return None
    raise ValueError("a window without a day never opens")
