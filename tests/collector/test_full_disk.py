"""A real file system that runs full: refused, never half-written, and recovered by itself."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import gzip
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.collector.process import CollectorProcess
from tests.collector.samples import array, event
from usage_collector import events
from usage_collector.errors import StorageUnavailable
from usage_collector.ledger import Ledgers
from usage_collector.upkeep import check

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIZE = 48 * 2**20
_FILLER = 6 * 2**20
_RECOVERY_SECONDS = 20.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted ext4 of its own."""
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("mounting a file system needs root and mkfs.ext4")
    image, mount = tmp_path / "image", Path(tempfile.mkdtemp(prefix="disk-"))
    with image.open("wb") as file:
        file.truncate(_SIZE)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    mounted = subprocess.run(
        ["mount", "-o", "loop", image, mount], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no loop devices here: {mounted.stderr.decode().strip()}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)
        mount.rmdir()


def _fill(client: httpx.Client, acknowledged: list[str]) -> httpx.Response:
    """Post until the collector refuses; its refusal."""
    while True:
        names = [os.urandom(8).hex() for _ in range(500)]
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


def test_a_full_disk_refuses_loses_nothing_and_recovers(small_disk: Path) -> None:
    """503 with Retry-After while full, unready, and service again once there is room."""
    fillers = [small_disk / f"filler-{number}" for number in range(2)]
    for filler in fillers:
        filler.write_bytes(os.urandom(_FILLER))
    acknowledged: list[str] = []
    with CollectorProcess(small_disk / "data", EATS_SECURE="false") as collector:
        with httpx.Client(base_url=collector.ingest_url) as client:
            for filler in fillers:
                refused = _fill(client, acknowledged)
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
        answer = httpx.get(
            collector.reporting_url + "/v1/export", params={"first": 1, "last": ledgers[0]["last"]}
        )
        payload = json.loads(gzip.decompress(answer.content))["payload"]
        stored = collections.Counter(one["session_id"] for one in payload["events"])
        assert set(stored) == {*acknowledged, "last"}
        assert max(stored.values()) == 1
        assert collector.stop() == 0


def _store_until_full(ledgers: Ledgers) -> int:
    stored = 0
    while True:
        raws = [event(noise=os.urandom(1500).hex()) for _ in range(200)]
        try:
            ledgers.writer.append_and_wait(events.parse(array(raws)))
        except StorageUnavailable:
            return stored
        stored += 200


def test_purging_works_on_a_full_disk_and_makes_room(small_disk: Path) -> None:
    """The reserve is there for it: what is old and sent goes, and events are taken again."""
    (small_disk / "filler").write_bytes(os.urandom(4 * _FILLER))
    (small_disk / "data").mkdir()
    ledgers = Ledgers(small_disk / "data", "c", "z", lambda: 1, reserve=4 * 10**6)
    stored = _store_until_full(ledgers)
    assert ledgers.space.full
    end = stored // 2 // 100 * 100
    ledgers.purge(ledgers.live, end, end, 0)
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
