"""When exports are due."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_operator import duedates

UTC = duedates.Rule("LastWorkingDay", "06:00", "Etc/UTC")
MOMENTS = st.integers(0, 15 * 366 * 86400).map(
    lambda seconds: dt.datetime(2020, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)
)


@pytest.mark.parametrize(
    ("rule", "month", "expected"),
    [
        (UTC, (2026, 10), "2026-10-30T06:00:00+00:00"),
        (UTC, (2026, 11), "2026-11-30T06:00:00+00:00"),
        (duedates.Rule(1, "06:00", "Etc/UTC"), (2026, 12), "2027-01-01T06:00:00+00:00"),
        (duedates.Rule(28, "23:30", "Europe/Berlin"), (2026, 5), "2026-06-28T21:30:00+00:00"),
        (
            duedates.Rule("LastWorkingDay", "06:00", "Etc/UTC", None, ("2026-10-30",)),
            (2026, 10),
            "2026-10-29T06:00:00+00:00",
        ),
        # 31 May 2027 is a Monday; Corpus Christi is no holiday of the whole country, 1 May is one.
        (
            duedates.Rule("LastWorkingDay", "06:00", "Europe/Berlin", "DE"),
            (2027, 5),
            "2027-05-31T04:00:00+00:00",
        ),
        # Good Friday is 29 March 2024, the last weekday of that month.
        (
            duedates.Rule("LastWorkingDay", "06:00", "Etc/UTC", "DE"),
            (2024, 3),
            "2024-03-28T06:00:00+00:00",
        ),
    ],
)
def test_due(rule: duedates.Rule, month: tuple[int, int], expected: str) -> None:
    """Weekends, holidays, time zones and days of the following month are kept."""
    assert duedates.due(rule, *month).isoformat() == expected


@given(MOMENTS, st.sampled_from(["LastWorkingDay", 1, 15, 28]))
def test_following_is_next(now: dt.datetime, day: int | str) -> None:
    """The next export lies ahead, and the one before it does not."""
    rule = duedates.Rule(day, "06:00", "Europe/Berlin", "DE")
    period, moment = duedates.following(rule, now)
    year, month = map(int, period.split("-"))
    assert duedates.due(rule, year, month) == moment > now
    before = dt.date(year, month, 1) - dt.timedelta(days=1)
    assert duedates.due(rule, before.year, before.month) <= now


@given(MOMENTS, MOMENTS, st.sampled_from(["LastWorkingDay", 1, 28]))
def test_following_the_last_exported(
    now: dt.datetime, exported: dt.datetime, day: int | str
) -> None:
    """The month behind the last one exported is next, be it early, in time or overdue."""
    rule = duedates.Rule(day, "06:00", "Etc/UTC")
    period, moment = duedates.following(rule, now, f"{exported:%Y-%m}")
    year, month = map(int, period.split("-"))
    assert (year * 12 + month) - (exported.year * 12 + exported.month) == 1
    assert moment == duedates.due(rule, year, month)
