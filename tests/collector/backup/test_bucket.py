"""Backups in a bucket of a real S3 server (versitygw)."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.collector.backup.test_backup import backup, live, load, lose, restore
from tests.collector.process import free_port
from tests.collector.processes import collectors, command
from tests.kind_helper import binaries, versions
from usage_collector.backup.bucket import _STALE_SECONDS, Bucket, BucketPlace
from usage_collector.backup.catalog import load as load_index
from usage_collector.backup.stores import Part
from usage_collector.errors import Conflict, DeliveryFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.collector.processes import Collector

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "access", "AWS_SECRET_ACCESS_KEY": "secret-of-test"}


class Server:
    """versitygw over a folder; killed and started at will."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "bucket").mkdir(parents=True)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        part = next(part for part in versions.OPTIONAL if part.name == "versitygw")
        binaries.build([part])
        self._process = subprocess.Popen(
            [binaries.program("versitygw"), "--port", f"127.0.0.1:{self.port}", "--quiet",
             "--access", "access", "--secret", "secret-of-test", "posix", self.folder],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        while True:
            try:
                httpx.get(self.url, timeout=1)
            except httpx.TransportError:
                assert self._process.poll() is None
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An S3 server with the bucket `bucket`; its credentials are in the environment."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    made = Server(tmp_path / "s3")
    made.start()
    yield made
    made.kill()


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    """One collector with 400 jobs."""
    with collectors(tmp_path, 1) as [one]:
        load(one, 400, seed=1)
        yield one


def place(server: Server) -> Any:
    """Where backups lie."""
    return f"s3://bucket/backups?endpoint={server.url}"


def test_a_lost_volume_comes_back_from_a_bucket(collector: Collector, server: Server) -> None:
    """Taken, added to, listed, proven and restored, all over S3."""
    assert backup(collector, place(server)).code == 0
    load(collector, 130, seed=2)
    second = backup(collector, place(server), "--verify")
    assert (second.code, second.facts["verified_ok"]) == (0, True), second.err
    last = live(collector)["last"]
    listed = command("backups", place(server), "--json").facts["backups"]
    assert [(one["collector"], one["events"]) for one in listed] == [(collector.name, last)]
    lose(collector)
    done = restore(collector, place(server))
    assert (done.code, done.facts["restored"][0]["last"]) == (0, last), done.err


def test_a_server_that_goes_away_leaves_the_last_good_backup(
    collector: Collector, server: Server
) -> None:
    """The condition is clear, and the next run goes on from what was there."""
    assert backup(collector, place(server)).code == 0
    load(collector, 130, seed=2)
    store = BucketPlace(place(server)).of(collector.name)
    before = load_index(store)
    server.kill()
    gone = backup(collector, place(server))
    assert gone.code == 1
    assert "s3://bucket/backups" in gone.err
    assert "secret" not in gone.err + gone.out
    server.start()
    assert load_index(store) == before
    assert backup(collector, place(server), "--verify").code == 0


def test_only_one_writes_at_a_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one holds the bucket another is refused; one that was killed is taken over later."""
    where = BucketPlace(place(server))
    one, other = where.of("c"), where.of("c")
    assert isinstance(one, Bucket)
    monkeypatch.setattr("usage_collector.backup.bucket._whose", iter([b"a", b"b"] * 9).__next__)
    with one.lock(), pytest.raises(Conflict, match="another backup"), other.lock():
        pass
    with other.lock():
        pass
    with one.lock():
        monkeypatch.setitem(_STALE_SECONDS, Part.BASE, -1.0)
        with other.lock():
            other.write("packages/x", [b"x"])
            with pytest.raises(Conflict):
                one.write("packages/y", [b"y"])
            other.write("packages/z", [b"z"])
    assert one.files("packages") == {"packages/x", "packages/z"}


def test_wrong_credentials_are_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's own words, never the secret."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    with pytest.raises(DeliveryFailed, match="SignatureDoesNotMatch") as caught:
        BucketPlace(place(server)).of("c").read("index.json")
    assert "wrong-secret" not in str(caught.value)
