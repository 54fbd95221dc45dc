"""Durable, then 201: seen from outside, by the system calls of a real collector."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import httpx

from tests.collector import traced
from tests.collector.process import CollectorProcess
from tests.collector.samples import array, event

if TYPE_CHECKING:
    from pathlib import Path

SERIAL, SENDERS, EACH = 25, 6, 15
_LOG = "events.db-wal"


def _post(collector: CollectorProcess, count: int) -> None:
    with httpx.Client(base_url=collector.ingest_url) as client:
        for number in range(count):
            body = array([event(number) for _ in range(1 + number % 3)])
            assert client.post("/v1/log", content=body).status_code == 201


def _trace(tmp_path: Path, senders: int, count: int) -> list[traced.Call]:
    trace = tmp_path / "trace"
    wrapper = traced.wrapper(trace, kept=16)
    with CollectorProcess(tmp_path / "data", wrapper=wrapper, EATS_SECURE="false") as collector:
        assert collector.process is not None
        threads = [threading.Thread(target=_post, args=(collector, count)) for _ in range(senders)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert collector.stop() == 0
        return list(traced.calls(trace, collector.process.pid))


def _covered(calls: list[traced.Call]) -> list[bool]:
    """For each 201: was something written to the log since its request came, and flushed since?"""
    asked: dict[int, int] = {}
    written = flushed = -1
    found = []
    for number, call in enumerate(calls):
        if call.path.endswith(_LOG):
            if call.name == "pwrite64":
                written = number
            elif call.name in ("fsync", "fdatasync") and written > flushed:
                flushed = written
        elif call.data.startswith(b"POST /v1/log"):
            asked[call.descriptor] = number
        elif call.data.startswith(b"HTTP/1.1 201"):
            found.append(flushed > asked[call.descriptor])
    return found


def test_no_201_leaves_before_the_flush_of_its_events_returned(tmp_path: Path) -> None:
    """One request at a time: all that was written since it came is flushed when it is answered."""
    calls = _trace(tmp_path, 1, SERIAL)
    assert _covered(calls) == [True] * SERIAL
    without = [call for call in calls if call.name not in ("fsync", "fdatasync")]
    assert not any(_covered(without)), "this test would notice if nothing was flushed"
    last = {"pwrite64": -1, "fdatasync": -1}
    for number, call in enumerate(calls):
        if call.path.endswith(_LOG):
            last[call.name] = number
        elif call.data.startswith(b"HTTP/1.1 201"):
            assert last["fdatasync"] > last["pwrite64"]


def test_requests_that_share_a_flush_wait_for_it_too(tmp_path: Path) -> None:
    """Many at once are stored together, and still none is answered before a flush after it came."""
    found = _covered(_trace(tmp_path, SENDERS, EACH))
    assert found == [True] * (SENDERS * EACH)
