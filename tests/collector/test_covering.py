"""Of which days of a month all is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.collector.made import event
from usage_collector import events
from usage_collector.packages import covering
from usage_collector.packages.manifest import Source
from usage_collector.periods import Period
from usage_collector.sessions import Place, use
from usage_collector.totals.month import DAY, Month

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

OCTOBER = Period(2026, 10)
START = OCTOBER.start + 4 * DAY
HOUR = DAY // 24


def _source(name: str, began: int | None = None, **early: int) -> Source:
    days = {day.replace("_", "-").removeprefix("d"): count for day, count in early.items()}
    return Source(name, name[0], OCTOBER.end, (), began, days)


SOURCES = [_source("a-0"), _source("a-1"), _source("b-0")]


def _month(days: int = 3) -> Month:
    """Three days from 5 October, with a job and a session that fell silent in zone a."""
    month = Month(START + 100 * DAY, (START, START + days * DAY))
    for position, kind in enumerate(("TRANSCRIBER_DONE", "SESSION_STATUS"), 1):
        raw = event(f"s{position}", event=kind)
        said = use(events.read(raw), Place("a-0", "ledger", position), "a")
        assert said
        month.add([said])
    return month


def _days(
    sources: Sequence[Source], troubled: Collection[str], month: Month, begin: int = START
) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = covering.days(sources, troubled, month, begin)
    assert msgspec.json.encode(lines)
    return lines


def test_where_all_is_known_nothing_is_zero() -> None:
    """A line for each day and zone; what fell silent is told where it did."""
    lines = _days(SOURCES, (), _month())
    assert [(line["day"], line["zone"], line["count"]) for line in lines] == [
        ("2026-10-05", "a", 2),
        ("2026-10-05", "b", 0),
        ("2026-10-06", "a", 0),
        ("2026-10-06", "b", 0),
        ("2026-10-07", "a", 0),
        ("2026-10-07", "b", 0),
    ]
    assert {line["coverage"] for line in lines} == {1.0}
    assert [line["silent_sessions"] for line in lines] == [1, 0, 0, 0, 0, 0]


def test_where_something_is_missing_nothing_is_not_known() -> None:
    """Never zero; and of a collector that did not answer not even the zone is."""
    lines = _days(SOURCES, {"a-1", "https://away"}, _month(1))
    assert [list(line.values()) for line in lines] == [
        ["2026-10-05", "a", 0.5, 2, 1, 0],
        ["2026-10-05", "b", 1.0, 0, 0, 0],
        ["2026-10-05", None, 0.0, None, None, None],
    ]


def test_clocks_are_told_by_day_and_zone() -> None:
    """Events from the future where their collectors say so; one that does not say leaves null."""
    sources = [
        _source("a-0", d2026_10_05=2),
        _source("a-1", d2026_10_05=3, d2026_10_06=1),
        Source("b-0", "b", OCTOBER.end, ()),
    ]
    lines = _days(sources, (), _month(2))
    assert [(line["zone"], line["early_events"]) for line in lines] == [
        ("a", 5), ("b", None), ("a", 1), ("b", None)
    ]  # fmt: skip


def test_before_the_first_collector_nobody_knows() -> None:
    """The month's days before it are not known, and the day that it began on is in part."""
    month = Month(OCTOBER.end, (START + 6 * HOUR, START + 2 * DAY))
    lines = _days([_source("a-0", START + 6 * HOUR)], (), month, START - 2 * DAY)
    assert [(line["day"], line["coverage"], line["count"]) for line in lines] == [
        ("2026-10-03", 0, None),
        ("2026-10-04", 0, None),
        ("2026-10-05", 0.75, None),
        ("2026-10-06", 1, 0),
    ]


def test_a_zone_that_came_later_is_not_missing_before() -> None:
    """Its days begin with it, and the others' stay whole."""
    lines = _days([_source("a-0"), _source("b-0", START + DAY + HOUR)], (), _month(3))
    assert [(line["day"], line["zone"]) for line in lines] == [
        ("2026-10-05", "a"),
        ("2026-10-06", "a"),
        ("2026-10-06", "b"),
        ("2026-10-07", "a"),
        ("2026-10-07", "b"),
    ]
    assert {line["coverage"] for line in lines} == {1.0}


def test_one_that_lost_its_volume_did_not_come_later() -> None:
    """Its ledger began with the loss, but its gap is of any day: the ones before are not known."""
    lines = _days([_source("a-0"), _source("b-0", START + DAY)], {"b-0"}, _month(2))
    assert [(line["zone"], line["coverage"], line["count"]) for line in lines] == [
        ("a", 1, 2), ("b", 0, None), ("a", 1, 0), ("b", 0, None)
    ]  # fmt: skip


@given(st.lists(st.none() | st.integers(-24, 60), min_size=1, max_size=3), st.sets(st.just("a-0")))
def test_hours_that_are_known_decide(began: list[int | None], troubled: set[str]) -> None:
    """Coverage is the known part of the hours in which a collector could have been there."""
    sources = [
        _source(f"a-{n}", None if at is None else START + at * HOUR) for n, at in enumerate(began)
    ]
    known = [at for at in began if at is not None]
    nobody = min(known) if len(known) == len(began) else -999
    found = {line["day"]: line["coverage"] for line in _days(sources, troubled, _month(2))}
    for number, day in enumerate(("2026-10-05", "2026-10-06")):
        shares = []
        for name, at in enumerate(began):
            hours = range(number * 24, number * 24 + 24)
            there = [h for h in hours if at is None or h >= at or h < nobody]
            if f"a-{name}" in troubled:
                shares.append(0.0)
            elif there:
                shares.append(sum(h >= nobody for h in there) / len(there))
        if shares:
            assert found[day] == round(sum(shares) / len(shares), 6)
        else:
            assert found.get(day, 1) == 1
