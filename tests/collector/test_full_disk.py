"""A real file system that runs full: refused, never half-written, and recovered by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.bench.soak import stored
from tests.collector import disks
from tests.collector.process import CollectorProcess
from tests.collector.samples import array, event
from tests.collector.usage.test_dimensions import _BEFORE
from usage_collector import events
from usage_collector.errors import StorageUnavailable
from usage_collector.ledger import Ledgers
from usage_collector.upkeep import check
from usage_collector.usage import fleet
from usage_collector.usage.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CYCLES = int(os.environ.get("FULL_DISK_CYCLES", "8"))
_SIZE = (48 + 4 * CYCLES) * 2**20
_LEFT = 2**19
_RECOVERY_SECONDS = 60.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted ext4 of its own."""
    disks.make(tmp_path / "image", _SIZE)
    with disks.mounted(tmp_path / "image") as folder:
        yield folder


def _fill(disk: Path) -> Path:
    """Something else takes all but a little of the disk; the file that does."""
    filler, status = disk / "filler", os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(status.f_bavail * status.f_frsize - _LEFT, 4096))
    return filler


def _post_until_refused(client: httpx.Client, acknowledged: list[str]) -> httpx.Response:
    """Its refusal."""
    while True:
        names = [os.urandom(8).hex() for _ in range(40)]
        body = array([event(session_id=name, noise=os.urandom(1500).hex()) for name in names])
        answer = client.post("/v1/log", content=body)
        if answer.status_code != 201:
            return answer
        acknowledged += names


def _wait_until_ready(collector: CollectorProcess) -> None:
    deadline = time.monotonic() + _RECOVERY_SECONDS
    while httpx.get(collector.reporting_url + "/readyz").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.timeout(120 + 10 * CYCLES)
def test_a_full_disk_refuses_loses_nothing_and_recovers(small_disk: Path) -> None:
    """Again and again: 503 with Retry-After while full, unready, and service once there is room."""
    acknowledged: list[str] = []
    with CollectorProcess(small_disk / "data", EATS_SECURE="false") as collector:
        with httpx.Client(base_url=collector.ingest_url) as client:
            for _ in range(CYCLES):
                filler = _fill(small_disk)
                refused = _post_until_refused(client, acknowledged)
                assert refused.status_code == 503
                assert refused.headers["Retry-After"]
                assert "full" in refused.json()["detail"]
                assert httpx.get(collector.reporting_url + "/readyz").status_code == 503
                assert httpx.get(collector.reporting_url + "/healthz").status_code == 200
                filler.unlink()
                _wait_until_ready(collector)
                client.post("/v1/log", content=event(session_id="last")).raise_for_status()
        ledgers = httpx.get(collector.reporting_url + "/v1/periods").json()["ledgers"]
        assert len(ledgers) == 1
        found = stored(collector)
        assert set(found) == {*acknowledged, "last"}
        found.pop("last")
        assert max(found.values(), default=1) == 1
        assert len(acknowledged) > CYCLES
        assert collector.stop() == 0
    assert not check(small_disk / "data", lambda *_: None).findings


def _store_until_full(ledgers: Ledgers) -> int:
    stored = 0
    while True:
        raws = [event(noise=os.urandom(1500).hex()) for _ in range(200)]
        try:
            ledgers.writer.append_and_wait(events.parse(array(raws)))
        except StorageUnavailable:
            return stored
        stored += 200


@pytest.mark.timeout(120 + 10 * CYCLES)
def test_purging_works_on_a_full_disk_and_makes_room(small_disk: Path) -> None:
    """The reserve is there for it: what is old and sent goes, and events are taken again."""
    (small_disk / "filler").write_bytes(bytes(24 * 2**20))
    (small_disk / "data").mkdir()
    ledgers = Ledgers(small_disk / "data", "c", "z", lambda: 1, reserve=8 * 10**6)
    stored = _store_until_full(ledgers)
    assert ledgers.space.full
    end = stored // 2 // 100 * 100
    ledgers.purge(ledgers.live, end, end)
    deadline = time.monotonic() + _RECOVERY_SECONDS
    while True:
        with contextlib.suppress(StorageUnavailable):
            asyncio.run(ledgers.prove(0))
            break
        assert time.monotonic() < deadline, "no room was made"
        time.sleep(0.1)
    assert ledgers.writer.append_and_wait(events.parse(event())) == [True]
    assert (ledgers.all()[0].first, ledgers.all()[0].last) == (end + 1, stored + 1)
    ledgers.close()
    assert not check(small_disk / "data", lambda *_: None).findings


def test_an_index_of_the_version_before_is_brought_up_on_a_full_disk(small_disk: Path) -> None:
    """In what is kept back: a collector whose disk is full starts after an upgrade too."""
    ledgers = Ledgers(small_disk, "c", "z", lambda: time.time_ns() // 1000, reserve=2**22)
    store = Store(small_disk)
    with store._writing() as connection:
        connection.execute(_BEFORE).fetchall()
    store.close()
    _fill(small_disk)
    with (small_disk / "more").open("wb") as file, contextlib.suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(512))
    with pytest.raises(StorageUnavailable, match="full"):
        Store(small_disk)
    brought_up = fleet._store(small_disk, ledgers)
    assert brought_up.rows("SELECT * FROM cells") == []
    with pytest.raises(StorageUnavailable):
        ledgers.space.check()
    brought_up.close()
    ledgers.close()
