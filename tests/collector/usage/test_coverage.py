"""What is known of each day, and what is not."""

from __future__ import annotations

import io
import uuid
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.collector.made import ledger
from tests.collector.samples import array, event
from usage_collector import events
from usage_collector.ledger import Ledgers, Origin, Part, restore
from usage_collector.periods import Period
from usage_collector.usage import coverage
from usage_collector.usage.coverage import Source, Trouble
from usage_collector.usage.feeding import Feeder
from usage_collector.usage.states import DAY
from usage_collector.usage.store import Store

if TYPE_CHECKING:
    from pathlib import Path

HOUR = DAY // 24
NOW = 103 * DAY
OCTOBER = Period(2026, 10)
DAYS = ("1970-04-11", "1970-04-12", "1970-04-13")


def _days(*sources: Source, **counts: list[int]) -> dict[tuple[str, str], dict[str, Any]]:
    by: dict[tuple[str, ...], list[int]] = {
        ("1970-04-11", zone): sums for zone, sums in counts.items()
    }
    lines = coverage.days(sources, by, 100, 102, NOW)
    return {(str(line["day"]), str(line["zone"])): line for line in lines}


def test_where_all_is_known_nothing_used_is_zero() -> None:
    """A day without usage is full coverage and a count of 0; a day with usage has its count."""
    found = _days(Source("c", "a", [], {}), a=[3, 0, 0, 1, 0])
    assert found["1970-04-12", "a"]["coverage"] == 1
    assert found["1970-04-12", "a"]["count"] == 0
    assert found["1970-04-11", "a"]["count"] == 3
    assert found["1970-04-11", "a"]["silent_sessions"] == 1


def test_where_it_is_not_known_nothing_used_is_not_claimed() -> None:
    """A collector that is away lowers its zone from then on, and no usage is null, not zero."""
    away = Source("c", "a", [Trouble("away", 101 * DAY + 6 * HOUR)], {})
    found = _days(away, Source("d", "a", [], {}), Source("e", "b", [], {}))
    assert found["1970-04-11", "a"]["coverage"] == 1
    assert found["1970-04-12", "a"]["coverage"] == 0.625
    assert found["1970-04-13", "a"]["coverage"] == 0.5
    assert found["1970-04-12", "a"]["count"] is None
    assert found["1970-04-12", "b"]["count"] == 0
    (problem,) = found["1970-04-12", "a"]["problems"]
    assert problem == {
        "collector": "c", "kind": "gap", "reason": "away",
        "since": "1970-04-12T06:00:00Z", "until": None,
    }  # fmt: skip


def test_before_the_first_collector_nobody_knows() -> None:
    """Those days are neither full nor empty, and the day it began on is known in part."""
    found = _days(Source("c", "a", [], {}, 101 * DAY + 6 * HOUR), a=[3, 0, 0, 0, 0])
    assert [found[day, "a"]["coverage"] for day in DAYS] == [0, 0.75, 1]
    assert [found[day, "a"]["count"] for day in DAYS] == [3, None, 0]
    (problem,) = found[DAYS[1], "a"]["problems"]
    assert problem["kind"] == "before"
    assert (problem["since"], problem["until"]) == (None, "1970-04-12T06:00:00Z")
    assert found[DAYS[2], "a"]["problems"] == []


def test_a_zone_that_came_later_is_not_missing_before() -> None:
    """Its days begin with it, the others' stay whole, also while it never answered."""
    new = Source("d", "b", [Trouble("away", 101 * DAY + 12 * HOUR)], {}, 101 * DAY + 12 * HOUR)
    found = _days(Source("c", "a", [], {}, 90 * DAY), new)
    assert {found[day, "a"]["coverage"] for day in DAYS} == {1}
    assert (DAYS[0], "b") not in found
    assert [found[day, "b"]["coverage"] for day in DAYS[1:]] == [0, 0]
    heard = msgspec.structs.replace(new, troubles=[])
    found = _days(Source("c", "a", [], {}, 90 * DAY), heard)
    assert [found[day, "b"]["coverage"] for day in DAYS[1:]] == [1, 1]
    beside = _days(Source("c", "b", [], {}, 90 * DAY), new)
    assert [beside[day, "b"]["coverage"] for day in DAYS] == [1, 0.5, 0.5]


@given(st.lists(st.none() | st.integers(98 * 24, 104 * 24), min_size=1, max_size=4))
def test_what_was_there_decides(began: list[int | None]) -> None:
    """Hours before anybody was there are not known; hours before one of several do not count."""
    sources = [
        Source(f"c{number}", "a", [], {}, None if at is None else at * HOUR)
        for number, at in enumerate(began)
    ]
    known = [at for at in began if at is not None]
    nobody = min(known, default=0)
    found = _days(*sources)
    for number, day in enumerate(DAYS, 100):
        shares = []
        for at in began:
            there = [
                h
                for h in range(number * 24, number * 24 + 24)
                if at is None or h >= at or h < nobody
            ]
            shares += [sum(h >= nobody for h in there) / len(there)] if there else []
        if shares:
            assert found[day, "a"]["coverage"] == round(sum(shares) / len(shares), 6)
        else:
            assert (day, "a") not in found


def test_even_a_moment_is_less_than_all() -> None:
    """However short what is missing was, coverage is below 1."""
    short = Source("c", "a", [Trouble("lost", 101 * DAY, 101 * DAY + 1)], {})
    assert _days(short)["1970-04-12", "a"]["coverage"] == 0.999999


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(99 * 24, 104 * 24), st.none() | st.integers(99 * 24, 104 * 24)
        ),
        max_size=4,
    )
)
def test_overlapping_troubles_count_once(spans: list[tuple[int | None, int | None]]) -> None:
    """Coverage is the share of hours that no trouble touches."""
    spans = [(a, b) for a, b in spans if a is None or b is None or a < b]
    troubles = [
        Trouble("x", None if a is None else a * HOUR, None if b is None else b * HOUR)
        for a, b in spans
    ]
    found = _days(Source("c", "a", troubles, {}))
    for number, day in enumerate(DAYS, 100):
        hours = range(number * 24, number * 24 + 24)
        clear = sum(
            not any((a is None or a <= h) and (b is None or h < b) for a, b in spans) for h in hours
        )
        assert found[day, "a"]["coverage"] == round(clear / 24, 6)


def test_clocks_that_run_ahead_are_counted(tmp_path: Path) -> None:
    """Events dated later than they were received are counted by day."""
    ledgers = Ledgers(tmp_path, "c", "z", lambda: OCTOBER.start + DAY)
    store = Store(tmp_path)
    feeder = Feeder(ledgers, store, "c", "z")
    raws = [event(0), event(3 * 86_400), event(4 * 86_400), event(86_400 + 30)]
    ledgers.writer.append_and_wait(events.parse(array(raws)))
    feeder.run(OCTOBER.start + DAY)
    assert feeder.early() == {OCTOBER.start // DAY + 1: 2}
    assert feeder.troubles(OCTOBER.start + DAY) == []
    store.close()
    ledgers.close()


def test_a_ledger_that_was_set_aside_is_a_known_stretch(tmp_path: Path) -> None:
    """From its last readable event to the next ledger's beginning nobody knows what was lost."""
    clock = [OCTOBER.start]
    ledgers = Ledgers(tmp_path, "c", "z", lambda: clock[0])
    store = Store(tmp_path)
    feeder = Feeder(ledgers, store, "c", "z")
    ledgers.writer.append_and_wait(events.parse(array([event(n) for n in range(10)])))
    feeder.run(clock[0])
    clock[0] += HOUR
    ledgers.writer.set_aside(ledgers.live, "a page is damaged")
    ledgers.flush_head()
    clock[0] += HOUR
    ledgers.writer.append_and_wait(events.parse(array([event(20)])))
    feeder.run(clock[0])
    (trouble,) = feeder.troubles(clock[0])
    assert "a page is damaged" in trouble.reason
    assert trouble.since == OCTOBER.start
    assert trouble.until is not None
    assert trouble.until <= clock[0]
    assert trouble.touches(OCTOBER.start // DAY, OCTOBER.start // DAY)
    assert not trouble.touches(OCTOBER.start // DAY + 5, OCTOBER.start // DAY + 9)
    store.close()
    ledgers.close()


def test_up_to_the_last_event_it_is_known_also_once_all_are_purged(tmp_path: Path) -> None:
    """Of a ledger that was set aside, and of one that came back, which is not damaged by that."""
    clock = [OCTOBER.start]
    ledgers = Ledgers(tmp_path, "c", "z", lambda: clock[0])
    store = Store(tmp_path)
    clock[0] += HOUR
    ledgers.writer.append_and_wait(events.parse(array([event(n) for n in range(100)])))
    hurt = ledgers.live
    clock[0] += HOUR
    ledgers.writer.set_aside(hurt, "a page is damaged")
    ledgers.flush_head()
    lost = ledger(100)
    plain = io.BytesIO(lost.plain(1, 100, period=None))
    origin = Origin(lost.id, OCTOBER.start, "d", "z")
    restore(ledgers, origin, [Part("1-100", plain, clock[0] - HOUR)], clock[0])
    Feeder(ledgers, store, "c", "z").run(clock[0])
    for id_ in (hurt, lost.id):
        ledgers.purge(id_, 100, 100)
    feeder = Feeder(ledgers, store, "c", "z")
    feeder.run(clock[0])
    assert [one.since for one in feeder.troubles(clock[0])] == [OCTOBER.start + HOUR] * 2
    assert [one.id for one in ledgers.all() if one.damaged] == [hurt]
    store.close()
    ledgers.close()


def test_what_came_after_a_backup_nobody_knows(tmp_path: Path) -> None:
    """From when it was taken to the beginning of the next ledger it is a known stretch.

    Several of them may have been live at once, at collectors of another fleet.
    """
    began = OCTOBER.start + 12 * HOUR
    ledgers = Ledgers(tmp_path, "c", "z", lambda: began)
    store = Store(tmp_path)
    feeder = Feeder(ledgers, store, "c", "z")
    for first, last in ((0, 2), (1, 3), (4, 5)):
        lost = ledger(10, id=str(uuid.uuid4()))
        plain = io.BytesIO(lost.plain(1, 10, period=None))
        origin = Origin(lost.id, OCTOBER.start + first * HOUR, "d", "z")
        restore(ledgers, origin, [Part("1-10", plain, OCTOBER.start + last * HOUR)], began)
    feeder.run(began)
    found = feeder.troubles(began)
    hours = [((one.since or 0) - OCTOBER.start, (one.until or 0) - OCTOBER.start) for one in found]
    assert hours == [(2 * HOUR, 4 * HOUR), (3 * HOUR, 4 * HOUR), (5 * HOUR, 12 * HOUR)]
    assert all("nobody knows what came after position 10" in one.reason for one in found)
    store.close()
    ledgers.close()
