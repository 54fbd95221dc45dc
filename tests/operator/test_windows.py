"""Maintenance windows."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_operator import windows

WEEKEND = windows.Window(frozenset({"Saturday"}), "22:00", 6, "Europe/Berlin")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-11-20T12:00:00Z", "2026-11-21T21:00:00+00:00"),
        ("2026-11-21T20:59:59Z", "2026-11-21T21:00:00+00:00"),
        ("2026-11-21T21:00:00Z", None),
        ("2026-11-22T02:59:59Z", None),
        ("2026-11-22T03:00:00Z", "2026-11-28T21:00:00+00:00"),
        ("2026-07-11T20:00:00Z", None),
    ],
)
def test_a_window_over_midnight(now: str, expected: str | None) -> None:
    """It is open from its local time on, into the next day, in summer and in winter."""
    found = windows.opens(WEEKEND, dt.datetime.fromisoformat(now))
    assert (found.isoformat() if found else None) == expected


@given(
    st.frozensets(st.sampled_from(windows.DAYS), min_size=1),
    st.times().map(lambda time: f"{time:%H:%M}"),
    st.integers(1, 24),
    st.sampled_from(["Etc/UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]),
    st.integers(0, 1_000_000).map(
        lambda minutes: dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=minutes)
    ),
)
def test_what_is_announced_comes(
    days: frozenset[str], at: str, hours: int, zone: str, now: dt.datetime
) -> None:
    """A closed window names a moment of the coming eight days, at which it is open."""
    window = windows.Window(days, at, hours, zone)
    moment = windows.opens(window, now)
    if moment is not None:
        assert now < moment <= now + dt.timedelta(days=8, hours=2)
        assert windows.opens(window, moment) is None
