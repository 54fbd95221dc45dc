"""Clocks that jump: noticed, told, and nothing is purged by them."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.collector.debian import needed
from tests.collector.process import CollectorProcess
from tests.collector.samples import array, event
from usage_collector.upkeep import clock
from usage_collector.upkeep.clock import JUMP_WAIT, START_WAIT, Clock, Moment, looked, started

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR, DAY = 3600.0, 86_400.0
NOON = 1_790_900_000_000_000


def _at(seconds: float, off: float = 0.0, boot: str = "a") -> Moment:
    """So long after noon, on a wall clock that is ``off`` by some seconds."""
    return Moment(NOON + int((seconds + off) * 1e6), 1000 + seconds, boot)


def test_an_even_clock_is_trusted_after_an_hour() -> None:
    """Small corrections do not matter, and a restart waits again."""
    state = started(None, _at(0))
    for minute in range(1, 60):
        state = looked(state, _at(60 * minute, off=minute * 0.5))
        assert state.wait > 0
    state = looked(state, _at(HOUR))
    assert (state.wait, state.jump, state.known) == (0, None, _at(HOUR).wall)
    assert started(state, _at(HOUR + 5)).wait == START_WAIT


@pytest.mark.parametrize("off", [-40 * DAY, -90.0, 90.0, 400 * DAY])
@pytest.mark.parametrize("restart", [False, True])
def test_a_jump_stops_purging_for_a_day_of_even_running(off: float, restart: bool) -> None:
    """Forward or backward, while running or while stopped, it is noticed; later it is believed."""
    state = looked(started(None, _at(0)), _at(HOUR))
    step = started if restart else looked
    state = step(state, _at(2 * HOUR, off))
    assert (state.wait, state.jumped) == (JUMP_WAIT, True)
    assert state.jump is not None
    assert abs(state.jump.seconds - off) < 1
    assert state.known == _at(2 * HOUR).wall
    state = looked(state, _at(25 * HOUR, off))
    assert state.wait == HOUR
    state = looked(state, _at(26 * HOUR, off))
    assert (state.wait, state.jumped, state.known) == (0, False, _at(26 * HOUR, off).wall)


@pytest.mark.parametrize(("away", "jumped"), [(-120, True), (HOUR, False), (3 * DAY, True)])
def test_on_another_host_only_the_last_known_time_can_tell(away: float, jumped: bool) -> None:
    """Going back is a jump, and so is being away for longer than a day, which may be one."""
    last = looked(started(None, _at(0)), _at(HOUR))
    state = started(last, Moment(last.known + int(away * 1e6), 7.0, "b"))
    assert state.jumped is jumped
    assert state.wait == (JUMP_WAIT if jumped else START_WAIT)


@given(st.lists(st.tuples(st.floats(0, 3 * DAY), st.floats(-500 * DAY, 500 * DAY), st.booleans())))
def test_no_event_is_dated_before_what_was_surely_reached(
    steps: list[tuple[float, float, bool]],
) -> None:
    """However the clock jumps, within a day of a jump the known time runs with the steady one."""
    state, at = started(None, _at(0)), 0.0
    for elapsed, off, restart in steps:
        before, at = state, at + elapsed
        state = (started if restart else looked)(state, _at(at, off))
        assert state.wait >= 0
        if state.jumped:
            assert abs(state.known - before.known - elapsed * 1e6) < 10
            assert state.jump is not None
        else:
            assert state.known == _at(at, off).wall


def test_the_state_outlives_the_process_and_a_lost_file(tmp_path: Path) -> None:
    """A jump from before the start is noticed once; an unreadable file stops nothing."""
    moments = [_at(0)]
    path = tmp_path / "clock.json"
    first = Clock(path, lambda: moments[-1])
    assert first.now() == _at(0).wall
    moments.append(_at(10, off=-DAY))
    assert first.now() == _at(10).wall
    second = Clock(path, lambda: moments[-1])
    assert (second.jumps, second.now()) == (1, _at(10).wall)
    third = Clock(path, lambda: moments[-1])
    assert (third.jumps, third.state.jumped) == (0, True)
    assert not third.look()
    path.write_bytes(b"{")
    assert not Clock(path, lambda: moments[-1]).state.jumped


def test_the_host_has_both_clocks() -> None:
    """The wall clock and one that runs through the same boot."""
    before, now, after = clock.host(), time.time_ns() // 1000, clock.host()
    assert before.boot == after.boot != ""
    assert after.steady >= before.steady
    assert before.wall <= now <= after.wall


@pytest.fixture(scope="module")
def faketime() -> Path:
    """The library that shows a process another time."""
    return needed(
        "faketime",
        lambda: next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None),
    )


def _metric(collector: CollectorProcess, name: str) -> float:
    text = httpx.get(collector.reporting_url + "/metrics").text
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    assert found
    return float(found[1])


def _until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_real_process_whose_clock_jumps_goes_on_as_before(tmp_path: Path, faketime: Path) -> None:
    """Duplicates stay duplicates, positions count on, and log, metric and answer tell of it."""
    offset = tmp_path / "offset"
    offset.write_text("+0")
    variables = {
        "LD_PRELOAD": str(faketime),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "EATS_SECURE": "false",
        "USAGE_HOLD_UNEXPORTED": "false",
    }
    raws = [event(number) for number in range(3)]
    collector = CollectorProcess(tmp_path / "data", **variables)
    collector.patch("usage_collector.upkeep.clock.START_WAIT", 0.0)
    with collector.patch("usage_collector.web.serving.PURGE_SECONDS", 0.2):

        def post(raw: bytes) -> int:
            """How many there are beyond the first hundred, which nothing but its age keeps."""
            httpx.post(collector.ingest_url + "/v1/log", content=raw).raise_for_status()
            ledgers = httpx.get(collector.reporting_url + "/v1/periods").json()["ledgers"]
            assert ledgers[-1]["first"] == 1, "purged by a clock that jumped"
            return int(ledgers[-1]["last"]) - 100

        assert post(array([event(number) for number in range(100, 200)])) == 0
        _until(lambda: _metric(collector, "usage_uncounted_events") == 0)
        assert post(raws[0]) == 1
        for jumps, jump in enumerate(("+400d", "-30d", "+0"), 1):
            offset.write_text(jump)
            _until(lambda n=jumps: _metric(collector, "usage_clock_jumps") == n)  # type: ignore[misc]
            assert post(raws[0]) == min(jumps, 3)
            assert post(raws[jumps % 3]) == min(jumps + 1, 3)
            assert _metric(collector, "usage_clock_distrusted_seconds") > 86_000
        told = httpx.get(collector.reporting_url + "/v1/periods").json()["clock"]
        assert told["trusted"] is False
        assert abs(told["jumped_seconds"] - 30 * DAY) < 5
        assert collector.log.read_text().count("the clock jumped by") == 3
        assert collector.stop() == 0
        offset.write_text("-20d")
        collector.start()
        assert _metric(collector, "usage_clock_jumps") == 1
        assert post(raws[1]) == 3
        text = httpx.get(collector.reporting_url + "/metrics").text
        assert "usage_ledger_damaged 0.0" in text
