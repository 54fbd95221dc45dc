"""Long reading leaves the processor to those who store, and takes it when nobody does."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.collector.samples import array, event
from usage_collector import events, export
from usage_collector.export import Exporter
from usage_collector.keystore import Keystore
from usage_collector.ledger import Ledgers, Limits, Pace, pacing
from usage_collector.periods import Period, Window

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = Period(2030, 1).start


@dataclass
class Machine:
    """A processor of which the others take ``wanted`` of the time while a reader rests."""

    wanted: float
    mine: float = 0.0
    others: float = 0.0
    rests: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.others += seconds * self.wanted
        self.rests.append(seconds)

    def pace(self, busy: bool = True, behind: bool = True) -> Pace:
        """A pace on this machine."""
        return Pace(
            lambda: busy,
            lambda: behind,
            worked=lambda: self.mine,
            process=lambda: self.mine + self.others,
            sleep=self.sleep,
        )


_TURNS = st.lists(st.floats(1e-4, 0.15), min_size=1, max_size=50)


@given(_TURNS, st.floats(0.34, 1))
def test_readers_have_their_share_of_what_the_process_gets(
    turns: list[float], wanted: float
) -> None:
    """However long its turns are, and also where the process gets a third of a processor."""
    machine = Machine(wanted)
    pace = machine.pace()
    for turn in turns:
        with pace.turn():
            machine.mine += turn
    assert machine.mine <= pacing.SHARE * (machine.mine + machine.others) * (1 + 1e-9)


@given(_TURNS)
def test_where_little_is_stored_a_reader_does_not_wait_for_more(turns: list[float]) -> None:
    """It rests a few times as long as it would on a busy processor, and no longer."""
    machine = Machine(0.01)
    pace = machine.pace()
    for turn in turns:
        with pace.turn():
            machine.mine += turn
    most = pacing.LONGEST * (1 / pacing.SHARE - 1) * machine.mine
    assert sum(machine.rests) == pytest.approx(most)


@given(_TURNS)
def test_nobody_rests_where_nothing_is_stored(turns: list[float]) -> None:
    """Reading is as fast as it can be."""
    machine = Machine(0)
    pace = machine.pace(busy=False)
    for turn in turns:
        with pace.turn():
            machine.mine += turn
    assert machine.rests == []


@given(_TURNS)
def test_where_nobody_waits_for_storage_a_rest_is_not_prolonged(turns: list[float]) -> None:
    """Some events a second want little, and a month's export has its share of the whole time."""
    machine = Machine(0.01)
    pace = machine.pace(behind=False)
    for turn in turns:
        with pace.turn():
            machine.mine += turn
    assert sum(machine.rests) == pytest.approx((1 / pacing.SHARE - 1) * machine.mine)


def test_an_event_that_was_stored_makes_nobody_rest_for_long(tmp_path: Path) -> None:
    """A reader beside a ledger where nothing waits any more rests once at most."""
    rests: list[float] = []
    ledgers = Ledgers(tmp_path, "c", "z", lambda: NOW)
    ledgers.pace._sleep = rests.append
    ledgers.writer.append_and_wait(events.parse(event(1)))
    with ledgers.pace.turn():
        pass
    assert len(rests) <= 1
    ledgers.close()


def test_one_long_turn_keeps_nobody_waiting_for_long() -> None:
    """Sorting millions of sessions is one step; who reads beside it has its turn soon after."""
    machine = Machine(1)
    with machine.pace().turn():
        machine.mine += 60
    assert sum(machine.rests) == pacing.REST_SECONDS


def test_long_work_rests_every_few_milliseconds() -> None:
    """Whoever waits for the processor never waits for all of it, and every item comes."""
    machine = Machine(1)
    given_: list[int] = []
    for item in machine.pace().paced(range(10_000)):
        machine.mine += 50e-6
        given_.append(item)
    assert given_ == list(range(10_000))
    slices = machine.mine / len(machine.rests)
    assert slices < 2 * pacing._SLICE_SECONDS
    assert machine.mine <= pacing.SHARE * (machine.mine + machine.others) * 1.01


def test_several_readers_rest_one_after_the_other() -> None:
    """Together they have no larger share than one alone."""
    alone, met, go = threading.Lock(), list[bool](), threading.Event()

    def sleep(_: float) -> None:
        met.append(not alone.acquire(blocking=False))
        go.wait(60)
        alone.release()

    clock = itertools.count()
    pace = Pace(lambda: True, worked=lambda: next(clock), process=lambda: 0, sleep=sleep)

    def read() -> None:
        with pace.turn():
            pass

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(60)
    assert met == [False] * 3 * pacing.LONGEST


def test_whatever_reads_much_goes_at_the_pace(tmp_path: Path) -> None:
    """A cut, its sessions, and a window that is looked for rest while events come in."""
    machine = Machine(1)

    def worked() -> float:
        machine.mine += pacing._SLICE_SECONDS
        return machine.mine

    ledgers = Ledgers(tmp_path, "c", "z", lambda: NOW)
    ledgers.writer.append_and_wait(events.parse(array([event(i) for i in range(400)])))
    exporter = Exporter(ledgers, "c", "z", Keystore(tmp_path / "keys", None, None).keys)
    ledgers.pace = Pace(lambda: True, worked=worked, sleep=machine.sleep)
    period, limits = Period(2026, 1), Limits(18, 100, 100)
    reading: list[Callable[[], object]] = [
        lambda: export.cut(ledgers, period, limits, NOW),
        lambda: list(export.sessions(ledgers, period)),
        lambda: exporter.window(Window(None, None)).close(),
    ]
    for read in reading:
        machine.rests.clear()
        read()
        assert len(machine.rests) >= 400 // 32
    ledgers.close()
