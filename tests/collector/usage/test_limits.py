"""Quotas, and what a month will come to."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_collector import events
from usage_collector.periods import Period
from usage_collector.sessions import HOUR, Place
from usage_collector.usage import limits, quotas
from usage_collector.usage.coverage import Source, Trouble
from usage_collector.usage.customers import Customer, Details, Register
from usage_collector.usage.missing import lacking
from usage_collector.usage.policy import NONE, Given, Policy, Quota
from usage_collector.usage.states import DAY, state
from usage_collector.usage.store import Store

if TYPE_CHECKING:
    from pathlib import Path

OCTOBER = Period(2026, 10)


def _quota(details: Details, given: Policy = NONE) -> tuple[float | None, int | None]:
    _, found = given.quota("a", Register([Customer("a", details, 1, "c")]))
    return found.monthly_hours, found.concurrent_sessions


def test_a_plan_is_a_quota_that_own_figures_replace() -> None:
    """Own figures go before the plan's; an enterprise has only its own."""
    assert _quota(Details("A", plan="free")) == (4, 2)
    assert _quota(Details("A", plan="paid", monthly_hours=7.5)) == (7.5, 20)
    assert _quota(Details("A", plan="enterprise", concurrent_sessions=0)) == (None, 0)
    assert _quota(Details("A")) == (None, None)
    assert _quota(Details("A", plan="one that is gone")) == (None, None)


def test_a_file_goes_before_the_register() -> None:
    """It adds plans, changes those there are, and has the last word on a customer's figures."""
    given = Policy(
        plans={"free": Quota(5, 3), "big": Quota(100, None)},
        quotas={"a": Given(plan="big", concurrent_sessions=9)},
    )
    assert _quota(Details("A", plan="free"), given) == (100, 9)
    assert _quota(Details("A", monthly_hours=7, concurrent_sessions=8), given) == (7, 9)
    assert _quota(Details("A", plan="free"), Policy(plans=given.plans)) == (5, 3)


def test_thresholds_are_reached_at_their_figure() -> None:
    """At 80 % and at all of it; a quota of nothing is reached by whatever is used."""
    parts = NONE.parts
    assert [limits.reached(used, 10, parts) for used in (7.9, 8, 9.9, 10, 11)] == [
        0,
        0.8,
        0.8,
        1,
        1,
    ]
    assert limits.reached(0, 0, parts) == 0
    assert limits.reached(0.001, 0, parts) == 1
    assert limits.reached(5, None, parts) == 0


def test_weekdays_are_told_apart() -> None:
    """A customer that rests at weekends is not expected to work on those to come."""
    weeks = [8.0] * 5 + [0.0] * 2
    found = limits.forecast(100, weeks * 4, 0, 6)
    assert found == (140, 140, 140)
    assert limits.forecast(100, (weeks * 4)[:-2], 0.5, 0) == (100, 100, 100)


def test_too_little_is_no_forecast() -> None:
    """One day says nothing of the next."""
    assert limits.forecast(5, [], 0.5, 10) is None
    assert limits.forecast(5, [5], 0.5, 10) is None
    assert limits.forecast(5, [5, 5], 0.5, 10) == (57.5, 57.5, 57.5)


@given(st.lists(st.floats(0, 1e5), min_size=2, max_size=40), st.floats(0, 1), st.integers(0, 30))
def test_a_forecast_is_within_its_bounds(days: list[float], passed: float, left: int) -> None:
    """It is never less than what was used already."""
    found = limits.forecast(3, days, passed, left)
    assert found is not None
    assert 3 <= found.low <= found.hours + 1e-6
    assert found.hours <= found.high + 1e-6


def test_four_of_five_months_end_within_the_bounds() -> None:
    """The bounds mean what they say, for days that differ at random."""
    random = Random(1)
    hits = 0
    for _ in range(1000):
        days = [random.gauss(50, 10) for _ in range(28 + 20)]
        found = limits.forecast(0, days[:28], 0, 19)
        assert found is not None
        hits += found.low <= sum(days[28:]) <= found.high
    assert 750 < hits < 850


def _event(session: str, day: float, kind: str = "TRANSCRIBER_DONE", **fields: str) -> bytes:
    stamp = f"2026-10-{1 + int(day):02}T{int(day % 1 * 24):02}:00:00Z"
    value = {
        "event": kind,
        "session_id": session,
        "time_stamp": stamp,
        "event_specific_data": {"total_received_duration": 3600},
        **fields,
    }
    return json.dumps(value).encode()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Five days of one hour each for Acme by name or contract, and sessions that are alive."""
    raws = [_event(f"s{day}", day, customer_id="Acme") for day in range(4)]
    raws += [_event("s4", 4.25, contract_id="7"), _event("x", 2, customer_id="Stranger")]
    raws += [_event(f"l{n}", 4.25, "SESSION_STATUS", customer_id="Acme") for n in range(3)]
    raws += [_event("over", 0, "SESSION_STATUS", customer_id="acme")]
    made = Store(tmp_path)
    states = [
        state(events.read(raw), Place("c", "l", number), "z", 0)
        for number, raw in enumerate(raws, 1)
    ]
    now = OCTOBER.start + 4 * DAY + 6 * HOUR
    made.fold([one for one in states if one], now, own=True, marks=[], epoch=made.epoch)
    return made


def test_what_lacks_of_the_month_is_told_to_its_end() -> None:
    """Hours that nobody knows of the 1st are missing from the quota on the 31st, too."""
    gap = Trouble("lost", OCTOBER.start + HOUR, OCTOBER.start + 2 * HOUR)
    for day in range(31):
        asked = quotas.days(OCTOBER.start + day * DAY + HOUR)
        assert lacking(asked, [Source("c", "z", [gap], {})]), day
        assert asked.until == OCTOBER.start // DAY + day


def test_usage_stands_against_quotas(store: Store) -> None:
    """This month's hours, today's too, sessions at once, and what the month will come to."""
    details = Details("Acme", customer_ids=["Acme"], contracts=["7"], plan="free", monthly_hours=7)
    customers = [
        Customer("acme", details, 1, "c"),
        Customer("idle", Details("Idle", plan="paid"), 1, "c"),
        Customer("free", Details("No quota"), 1, "c"),
        Customer("gone", Details("Gone", plan="paid"), 1, "c", "acme"),
    ]
    now = OCTOBER.start + 4 * DAY + 6 * HOUR
    given = Policy(quotas={"Stranger": Given(monthly_hours=2)})
    stranger, acme, idle = quotas.lines(store, Register(customers), given, now)
    assert (stranger["customer"], stranger["used_hrs"]) == ("Stranger", 1.0)
    forecast = acme.pop("forecast")
    assert acme == {
        "customer": "acme",
        "name": "Acme",
        "plan": "free",
        "month": "2026-10",
        "used_hrs": 6.0,
        "quota_hrs": 7,
        "reached": 0.8,
        "sessions": 3,
        "quota_sessions": 2,
        "sessions_reached": 1,
        "as_of": "2026-10-05",
    }
    assert isinstance(forecast, dict)
    # Days of 2, 1, 1 and 1 hours so far, three quarters of today and 26 more days to come.
    assert forecast["hours"] == pytest.approx(6 + 26.75 * 1.25)
    assert forecast["low"] < forecast["hours"] < forecast["high"]
    assert (idle["used_hrs"], idle["forecast"], idle["reached"]) == (0.0, None, 0)
    store.close()
