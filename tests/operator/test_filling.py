"""Volumes that fill."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.operator.support import NOW
from usage_operator.conditions import Said, ZoneFacts
from usage_operator.reconcile import filling

HOUR = dt.timedelta(hours=1)


def test_the_day_is_told_by_the_growth() -> None:
    """From 40 to 50 of 100 in a day: the rest takes five more."""
    samples = [(NOW, 40.0), (NOW + 12 * HOUR, 41.0), (NOW + 24 * HOUR, 50.0)]
    assert filling.forecast(samples, 100) == dt.date(2026, 11, 11)


@pytest.mark.parametrize(
    "samples",
    [
        [],
        [(NOW, 1.0)],
        [(NOW, 1.0), (NOW + HOUR / 2, 2.0)],
        [(NOW, 2.0), (NOW + 2 * HOUR, 2.0)],
        [(NOW, 2.0), (NOW + 2 * HOUR, 1.0)],
        [(NOW, 2.0), (NOW + 2 * HOUR, 2.0 + 1e-9)],
    ],
)
def test_no_telling(samples: list[filling.Sample]) -> None:
    """Too little time, or no growth worth the name, says nothing."""
    assert filling.forecast(samples, 100) is None


@given(st.floats(1, 99), st.floats(0.1, 50), st.integers(1, 167))
def test_a_forecast_is_never_in_the_past(used: float, growth: float, hours: int) -> None:
    """A volume that is not full yet fills today at the earliest."""
    end = NOW + hours * HOUR
    day = filling.forecast([(NOW, max(used - growth, 0)), (end, used)], 100)
    assert day is None or day >= end.date()


def test_the_history_is_a_week_and_begins_anew() -> None:
    """Old samples are dropped; a volume that was emptied has no past."""
    history, key = filling.History(), ("ns", "speech", "a")
    assert history.full_on(key, NOW, 10, 100) is None
    assert history.full_on(key, NOW + 24 * HOUR, 20, 100) == dt.date(2026, 11, 14)
    assert history.full_on(key, NOW + 25 * HOUR, 5, 100) is None
    assert history.full_on(key, NOW + 49 * HOUR, 29, 100) == dt.date(2026, 11, 10)
    history.forget("ns", "speech")
    assert history.full_on(key, NOW + 50 * HOUR, 30, 100) is None


def test_what_is_nearly_full_is_told() -> None:
    """By what was said now, or else by what the status still says."""
    zones = (
        ZoneFacts("a", 1, 1, said=Said("1", "83%", "1Gi", full_on="2026-11-09")),
        ZoneFacts("b", 1, 1, said=Said("1", "80%", "1Gi")),
        ZoneFacts("c", 1, 1),
        ZoneFacts("d", 1, 1),
    )
    before = {"zones": [{"name": "c", "storage": {"used": "91%", "capacity": "2Gi"}}]}
    assert filling.tell(zones, before) == (
        "zone a: a volume of 1Gi is 83% full, and wholly on about 2026-11-09",
        "zone c: a volume of 2Gi is 91% full",
    )
