"""Disks that fail: what is acknowledged stays, and nothing is acknowledged that may not stay."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.bench.soak import stored
from tests.collector import disks, traced
from tests.collector.process import CollectorProcess
from tests.collector.samples import array, event
from usage_collector.upkeep import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FAILED_FLUSH = 74
_WRITES = "pwrite64,write,writev,ftruncate,fallocate"


class _Client:
    """Posts events until something happens; knows which were acknowledged."""

    def __init__(self, collector: CollectorProcess) -> None:
        self.collector = collector
        self.acknowledged: list[str] = []

    def post(self, number: int = 5) -> httpx.Response:
        names = [os.urandom(8).hex() for _ in range(number)]
        raws = [event(session_id=name, noise=os.urandom(1500).hex()) for name in names]
        answer = httpx.post(self.collector.ingest_url + "/v1/log", content=array(raws))
        if answer.status_code == 201:
            self.acknowledged += names
        return answer

    def post_until(self, over: Callable[[httpx.Response], bool]) -> httpx.Response | None:
        """The answer for which that holds; None when the collector went away first."""
        deadline = time.monotonic() + 60
        with contextlib.suppress(httpx.TransportError):
            while time.monotonic() < deadline:
                answer = self.post()
                if over(answer):
                    return answer
            raise AssertionError("nothing happened in time")
        return None

    def all_is_there(self) -> None:
        found = stored(self.collector)
        assert not set(self.acknowledged) - set(found)
        assert max(found.values()) == 1


def _ready(collector: CollectorProcess) -> int:
    return httpx.get(collector.reporting_url + "/readyz").status_code


@contextlib.contextmanager
def _tampered(collector: CollectorProcess, *what: str) -> Iterator[None]:
    """While this lasts, system calls of the collector fail as strace is told."""
    assert collector.process is not None
    options = [f"--inject={one}" for one in what]
    for path in collector.folder.rglob("*"):
        options += ["-P", str(path)]
    command = ["strace", "-f", "-p", str(collector.process.pid), "-o", "/dev/null", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        assert "attached" in strace.stderr.readline()
        try:
            yield
        finally:
            strace.send_signal(signal.SIGINT)
            strace.communicate()


def test_a_read_only_volume_refuses_and_recovers_by_itself(tmp_path: Path) -> None:
    """As long as writing is refused: 503 with Retry-After and unready; afterwards as before."""
    traced.wrapper(tmp_path / "trace", 0)
    with CollectorProcess(tmp_path / "data", EATS_SECURE="false") as collector:
        client = _Client(collector)
        assert client.post().status_code == 201
        with _tampered(collector, f"{_WRITES}:error=EROFS"):
            for _ in range(3):
                refused = client.post()
                assert refused.status_code == 503
                assert refused.headers["Retry-After"]
                assert "read-only" in refused.json()["detail"]
                assert _ready(collector) == 503
        assert client.post_until(lambda answer: answer.status_code == 201)
        assert _ready(collector) == 200
        client.all_is_there()
        assert collector.stop() == 0
    assert not check(tmp_path / "data", lambda *_: None).findings


@pytest.mark.parametrize("number", [1, 2, 5])
def test_a_flush_that_fails_ends_the_process_and_is_not_tried_again(
    tmp_path: Path, number: int
) -> None:
    """Whichever flush it is: no second one follows, and a new process has all there is."""
    traced.wrapper(tmp_path / "trace", 0)
    with CollectorProcess(tmp_path / "data", EATS_SECURE="false") as collector:
        client = _Client(collector)
        assert client.post().status_code == 201
        assert collector.process is not None
        trace = tmp_path / "flushes"
        inject = f"--inject=fsync,fdatasync:error=EIO:when={number}+"
        pid = str(collector.process.pid)
        command = ["strace", "-f", "-p", pid, "-o", str(trace), "-e", "fsync,fdatasync", inject]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            assert "attached" in strace.stderr.readline()
            assert client.post_until(lambda _: False) is None
            assert collector.process.wait(60) == _FAILED_FLUSH
            strace.communicate()
        assert trace.read_text().count("INJECTED") == 1
        collector.start()
        client.all_is_there()
        assert client.post().status_code == 201
    assert not check(tmp_path / "data", lambda *_: None).findings


def _told(collector: CollectorProcess, text: str, times: int = 1) -> None:
    deadline = time.monotonic() + 60
    while collector.log.read_text().count(text) < times:
        assert time.monotonic() < deadline, f"nothing says {text!r}"
        time.sleep(0.05)


def test_what_goes_on_beside_outlives_any_trouble(tmp_path: Path) -> None:
    """While no file can be opened purging and checking fail; afterwards they go on by themselves.

    One that purged no more until its next start would fill its volume without a word.
    """
    traced.wrapper(tmp_path / "trace", 0)
    variables = {"USAGE_RETENTION_DAYS": "1", "USAGE_HOLD_UNEXPORTED": "false"}
    collector = CollectorProcess(tmp_path / "data", EATS_SECURE="false", **variables)
    collector.patch("usage_collector.web.serving.PURGE_SECONDS", 0.1)
    collector.patch("usage_collector.web.serving.SCRUB_SECONDS", 0.1)
    collector.patch("usage_collector.upkeep.clock.START_WAIT", 0.0)
    with collector.patch("usage_collector.upkeep.purging.DAY_US", 10**6):
        client = _Client(collector)
        assert client.post().status_code == 201
        with _tampered(collector, "openat:error=EMFILE"):
            _told(collector, "nothing was purged")
            _told(collector, "the background check ended early")
        checks = collector.log.read_text().count("background check: ")
        assert client.post(100).status_code == 201
        _told(collector, "purged up to position 100")
        _told(collector, "background check: ", checks + 1)
        assert collector.stop() == 0
    assert not check(tmp_path / "data", lambda *_: None).findings


def _fail_journal(folder: Path) -> None:
    (Path("/sys/fs/ext4") / disks.device(folder) / "trigger_fs_error").write_text("1")


def test_a_file_system_that_fails_and_goes_read_only_loses_nothing(tmp_path: Path) -> None:
    """The kernel's own emergency: refused or ended, and after the repair all is there."""
    image = tmp_path / "image"
    disks.make(image, 48 * 2**20)
    with (
        disks.mounted(image, "loop,errors=remount-ro") as folder,
        CollectorProcess(folder / "data", EATS_SECURE="false") as collector,
    ):
        client = _Client(collector)
        for _ in range(20):
            assert client.post().status_code == 201
        _fail_journal(folder)
        refused = client.post_until(lambda answer: answer.status_code != 201)
        assert refused is None or refused.status_code == 503
    disks.repair(image)
    with disks.mounted(image) as again:
        moved = CollectorProcess(again / "data", EATS_SECURE="false")
        with moved as client.collector:
            client.all_is_there()
            assert client.post().status_code == 201
        assert not check(again / "data", lambda *_: None).findings


def test_a_device_that_fails_to_write_loses_nothing(tmp_path: Path) -> None:
    """A thin volume whose pool is used up: real I/O errors, the process ends, nothing is lost."""
    with disks.memory(40 * 2**20) as pool:
        image = pool / "image"
        disks.make(image, 64 * 2**20)
        with disks.mounted(image, "loop,errors=continue") as folder:
            with CollectorProcess(folder / "data", EATS_SECURE="false") as collector:
                client = _Client(collector)
                for _ in range(20):
                    assert client.post().status_code == 201
                with contextlib.suppress(OSError), (pool / "other").open("wb", 0) as other:
                    while other.write(bytes(2**16)):
                        pass
                assert client.post_until(lambda _: False) is None
                assert collector.process is not None
                assert collector.process.wait(60) == _FAILED_FLUSH
            (pool / "other").unlink()
        disks.repair(image)
        with disks.mounted(image) as again:
            moved = CollectorProcess(again / "data", EATS_SECURE="false")
            with moved as client.collector:
                client.all_is_there()
                assert client.post().status_code == 201


def _remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", folder], check=True)


def test_a_start_on_a_read_only_volume_waits_for_it(tmp_path: Path) -> None:
    """It says so, ends when told to, and serves what was there once the volume can be written.

    Where not even the folder is there, waiting would not help.
    """
    image = tmp_path / "image"
    disks.make(image, 48 * 2**20)
    with disks.mounted(image) as folder:
        collector = CollectorProcess(folder, EATS_SECURE="false")
        collector.log = tmp_path / "log"
        client = _Client(collector)
        with collector:
            assert client.post().status_code == 201
            assert collector.stop() == 0
        _remount(folder, "ro")
        command = [sys.executable, "-m", "usage_collector", "serve"]
        elsewhere = {**collector.environment, "USAGE_DATA_DIR": str(folder / "none")}
        assert subprocess.run(command, env=elsewhere, timeout=60, check=False).returncode == 2
        for ending in (signal.SIGTERM, signal.SIGINT, None):
            with subprocess.Popen(
                command, env=collector.environment, stdout=subprocess.PIPE
            ) as process:
                assert process.stdout is not None
                assert b" starts on " in process.stdout.readline()
                assert b"is on a read-only file system" in process.stdout.readline()
                if ending is not None:
                    process.send_signal(ending)
                    assert process.wait(60) == 0
                    continue
                _remount(folder, "rw")
                collector.process = process
                collector.wait_until_healthy()
                client.all_is_there()
                assert client.post().status_code == 201
                process.terminate()
                assert process.wait(60) == 0
