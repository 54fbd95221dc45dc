"""Usage in columns, and what was learnt of last."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_collector import events, usage
from usage_collector.errors import InvalidInput
from usage_collector.periods import Period
from usage_collector.sessions import HOUR, Place
from usage_collector.usage import latest, series
from usage_collector.usage.asking import Query, text
from usage_collector.usage.customers import Customer, Details, Register
from usage_collector.usage.folding import add
from usage_collector.usage.states import DAY, state
from usage_collector.usage.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from usage_collector.usage.grouping import Table

FIRST = Period(2026, 10).start // DAY
NOW = (FIRST + 2) * DAY + 6 * HOUR
REGISTER = Register(
    [
        Customer("acme", Details("Acme Ltd", customer_ids=["Acme"], contracts=["7"]), 1, "c"),
        Customer("old", Details("Old"), 1, "c", "acme"),
    ]
)


def _event(number: int, day: int, hours: int, **fields: str) -> bytes:
    form = fields.pop("form", "wav")
    value = {
        "event": "TRANSCRIBER_DONE",
        "session_id": f"s{number}",
        "time_stamp": f"2026-10-{1 + day:02}T{number:02}:00:00Z",
        "event_specific_data": {"total_received_duration": 3600 * hours, "format_name": form},
        **fields,
    }
    return json.dumps(value).encode()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Three days of customers that have a name, none or several, and a session that is alive."""
    raws = [
        _event(1, 0, 4, customer_id="Acme"),
        _event(2, 1, 1, contract_id="7", form="m4v"),
        _event(3, 1, 2, customer_id="old", form="xyz"),
        _event(4, 2, 3, customer_id="acme ", form=""),
        _event(5, 2, 1),
        _event(6, 2, 9, event="SESSION_STATUS", customer_id="Acme"),
    ]
    made = Store(tmp_path)
    states = [state(events.read(raw), Place("c", "l", n), "z", 0) for n, raw in enumerate(raws, 1)]
    made.fold([one for one in states if one], NOW, own=True, marks=[], epoch=made.epoch)
    yield made
    made.close()


def _asked(store: Store, by: str, top: int) -> dict[str, Any]:
    return series.answer(store, Query(FIRST, FIRST + 3), by, top, REGISTER)


def test_customers_are_who_the_register_says(store: Store) -> None:
    """Names, contracts and merges lead to one customer; who is not registered is not known."""
    found = _asked(store, "customer", 3)
    assert (found["since"], found["until"], found["others"]) == ("2026-10-01", "2026-10-04", None)
    assert found["totals"]["duration_hrs"] == 11
    shown = [(one["value"], one["name"], one["known"]) for one in found["series"]]
    assert shown == [("acme", "Acme Ltd", True), ("acme ", "acme ", False), ("", "", False)]
    assert found["series"][0]["hours"] == [4, 3, 0, 0]
    assert found["series"][0]["counts"] == [1, 2, 0, 0]


def test_those_with_least_are_one_series(store: Store) -> None:
    """What has no series of its own is not lost."""
    found = _asked(store, "customer", 1)
    assert len(found["series"]) == 1
    assert found["others"]["values"] == 2
    assert found["others"]["hours"] == [0, 0, 4, 0]
    assert found["totals"]["count"] == 5


def test_formats_that_nobody_knows_are_other(store: Store) -> None:
    """As in the other answers; one that was not told stays empty."""
    found = _asked(store, "format", 9)
    assert {one["value"]: one["count"] for one in found["series"]} == {"wav": 2, "other": 2, "": 1}


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 5), st.sampled_from("abcdef")), st.integers(1, 10**9), max_size=20
    ),
    st.integers(1, 7),
)
def test_series_add_up_to_the_totals(used: dict[tuple[int, str], int], top: int) -> None:
    """However few there are, every hour and job is in one of them, the largest first."""
    by_day: Table = {(text(day), zone): [1, us, 0, 0, 0] for (day, zone), us in used.items()}
    totals: Table = {}
    for (_, zone), sums in by_day.items():
        add(totals.setdefault((zone,), [0] * 5), sums)
    ranked = series.of_values(totals, "zone")
    found = series.shaped(ranked, top, by_day, by_day, range(6))
    lists = [*found["series"], *([found["others"]] if found["others"] else [])]
    assert sum(one["count"] for one in lists) == found["totals"]["count"] == len(used)
    assert all(sum(one["counts"]) == one["count"] for one in lists)
    assert len(found["series"]) == min(top, len({zone for _, zone in used}))
    hours_of = [one["duration_hrs"] for one in found["series"]]
    assert hours_of == sorted(hours_of, reverse=True)
    hours = sum(sum(one["hours"]) for one in lists)
    assert hours == pytest.approx(sum(used.values()) / HOUR, abs=1e-3)


def test_only_what_there_is_can_be_asked_for() -> None:
    """A word that is no group names those that are."""
    with pytest.raises(InvalidInput, match="zone"):
        usage.read_by("contract")


def test_the_newest_come_first(store: Store) -> None:
    """With what is known of each, and whether it is over."""
    lines = latest.latest(store, 2, REGISTER, NOW)
    assert [line["time"] for line in lines] == ["2026-10-03T06:00:00Z", "2026-10-03T05:00:00Z"]
    assert lines[0]["state"] == "running"
    assert (lines[0]["name"], lines[0]["seconds"], lines[0]["mode"]) == (
        "Acme Ltd", 32400, "realtime"
    )  # fmt: skip
    assert (lines[1]["state"], lines[1]["known"]) == ("ended", False)
    (line,) = latest.latest(store, 1, REGISTER, NOW + DAY)
    assert line["state"] == "estimated"
