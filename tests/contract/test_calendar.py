"""Operator and collector agree on when a month is due."""

from __future__ import annotations

import datetime as dt
import zoneinfo

from hypothesis import given, settings
from hypothesis import strategies as st

from usage_collector import periods
from usage_operator import duedates

ZONES = st.sampled_from(["Etc/UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"])
COUNTRIES = st.sampled_from([None, "DE", "GB", "US", "JP", "IL", "SA", "CN"])
DATES = st.sets(st.dates(dt.date(2024, 1, 1), dt.date(2030, 12, 31)), max_size=20)
DAYS = st.just("LastWorkingDay") | st.integers(1, 28)
MOMENTS = st.integers(0, 6 * 365 * 86400).map(
    lambda seconds: dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)
)


def rules(
    day: int | str, at: dt.time, zone: str, country: str | None, dates: set[dt.date]
) -> tuple[duedates.Rule, periods.Due]:
    """Write the same rule for both."""
    ours = duedates.Rule(
        day, f"{at:%H:%M}", zone, country, tuple(sorted(date.isoformat() for date in dates))
    )
    theirs = periods.Due(
        day=day if isinstance(day, int) else "LastWorkingDay",
        at=at,
        zone=zoneinfo.ZoneInfo(zone),
        country=country,
        dates=frozenset(dates),
    )
    return ours, theirs


@settings(deadline=None, max_examples=40)  # the first call for a country works out its calendar
@given(DAYS, st.times(), ZONES, COUNTRIES, DATES, MOMENTS, st.none() | MOMENTS)
def test_both_name_the_same_moment(
    day: int | str,
    at: dt.time,
    zone: str,
    country: str | None,
    dates: set[dt.date],
    now: dt.datetime,
    exported: dt.datetime | None,
) -> None:
    """What status.nextExport promises is when the export finds the month due."""
    ours, theirs = rules(day, at.replace(second=0, microsecond=0), zone, country, dates)
    after = periods.Period.of(exported) if exported else None
    period, moment = duedates.following(ours, now, str(after) if after else None)
    expected_period, expected_moment = periods.next_due(now, theirs, after)
    assert (period, moment) == (str(expected_period), expected_moment)
    due = duedates.due(ours, expected_period.year, expected_period.month)
    assert due == periods.due_at(expected_period, theirs)
