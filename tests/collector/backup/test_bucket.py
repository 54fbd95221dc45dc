"""Backups in a bucket of a real S3 server (versitygw)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.collector.backup.doors import door
from tests.collector.backup.test_backup import backup, live, load, lose, restore
from tests.collector.backup.test_shipping import level, shipper
from tests.collector.process import free_port
from tests.collector.processes import collectors, command
from tests.collector.year.clock import HandSet
from tests.kind_helper import binaries, versions
from usage_collector.backup import taking
from usage_collector.backup.bucket import Bucket, BucketPlace
from usage_collector.backup.catalog import load as load_index
from usage_collector.errors import Conflict, DeliveryFailed
from usage_collector.peers import Peer

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


def test_months_in_the_same_place_are_no_backups(collector: Collector, server: Server) -> None:
    """What was delivered under the same prefix keeps nothing from coming back."""
    assert backup(collector, place(server)).code == 0
    month = server.folder / "bucket" / "backups" / "2026-10"
    month.mkdir()
    (month / "manifest.json").write_text("{}")
    assert BucketPlace(place(server)).collectors() == [collector.name]
    last = live(collector)["last"]
    lose(collector)
    done = restore(collector, place(server), "--all")
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


@pytest.fixture
def sleepy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody renews a lock but by writing, as in a process that sleeps."""
    monkeypatch.setattr("usage_collector.backup.lease._BEAT_SECONDS", 3600.0)


@pytest.mark.usefixtures("sleepy")
def test_only_one_writes_at_a_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one holds the bucket another is refused; one that was killed is taken over later."""
    process = ["one"]
    monkeypatch.setattr("usage_collector.backup.lease._whose", lambda: process[0].encode())
    where = BucketPlace(place(server))
    one, other = where.of("c"), where.of("c")
    assert isinstance(one, Bucket)
    with one.lock():
        process[0] = "other"
        with pytest.raises(Conflict, match="another backup"), other.lock():
            pass
    with other.lock():
        pass
    process[0] = "one"
    with one.lock():
        process[0] = "other"
        monkeypatch.setattr("usage_collector.backup.lease._STALE_SECONDS", -1.0)
        with other.lock():
            monkeypatch.setattr("usage_collector.backup.lease._SURE_SECONDS", -1.0)
            other.write("packages/x", [b"x"])
            with pytest.raises(Conflict):
                one.write("packages/y", [b"y"])
            other.write("packages/z", [b"z"])
    assert one.files("packages") == {"packages/x", "packages/z"}


HOLD = """
import sys
from usage_collector.backup.bucket import BucketPlace
with BucketPlace(sys.argv[1]).of("c").lock():
    pass
"""


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_wrong_clock_takes_nobody_s_lock(server: Server, tmp_path: Path, minutes: int) -> None:
    """A host whose clock is minutes off waits like any other, and writes when it may."""
    moment = int((time.time() + minutes * 60) * 1e6)
    clock = HandSet(tmp_path / "clock", moment).from_now

    def hold() -> subprocess.CompletedProcess[bytes]:
        program = [sys.executable, "-c", HOLD, str(place(server))]
        return subprocess.run(
            program, env={**os.environ, **clock}, capture_output=True, check=False
        )

    store = BucketPlace(place(server)).of("c")
    with store.lock():
        refused = hold()
        assert b"Conflict: another backup" in refused.stderr, refused.stderr
    assert hold().returncode == 0
    assert not list((server.folder / "bucket").rglob("*lock*"))


@pytest.mark.usefixtures("sleepy")
def test_a_lock_that_went_stale_unnoticed_is_left_to_its_new_holder(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who slept so long that another took over removes neither its files nor its lock."""
    process = ["one"]
    monkeypatch.setattr("usage_collector.backup.lease._whose", lambda: process[0].encode())
    monkeypatch.setattr("usage_collector.backup.lease._SURE_SECONDS", -1.0)
    monkeypatch.setattr("usage_collector.backup.lease._STALE_SECONDS", -1.0)
    where = BucketPlace(place(server))
    one, other, third = (where.of("c") for _ in range(3))
    with ExitStack() as stack:
        with one.lock():
            process[0] = "other"
            stack.enter_context(other.lock())
            other.write("packages/x", [b"x"])
            with pytest.raises(Conflict, match="another backup"):
                one.remove(["packages/x"])
        process[0] = "third"
        with third.lock():
            stack.close()
            assert (third.read("lock") or b"").startswith(b"third ")
    assert third.files("packages") == {"packages/x"}
    assert third.read("lock") is None


def test_who_waits_for_long_keeps_the_lock(
    collector: Collector, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy collector may give a package after minutes; who waits for it is not taken for gone."""
    monkeypatch.setattr("usage_collector.backup.lease._BEAT_SECONDS", 0.05)
    monkeypatch.setattr("usage_collector.backup.lease._SURE_SECONDS", 0.0)
    store = BucketPlace(place(server)).of(collector.name)
    seen: set[bytes | None] = set()

    class Slow(Peer):
        def positions(self, *asked: Any, **how: Any) -> None:
            patience = time.monotonic() + 60
            while len(seen) < 3 and time.monotonic() < patience:
                seen.add(store.read("lock"))
            super().positions(*asked, **how)

    now = datetime.now(UTC)
    order = taking.Order(BucketPlace(place(server)), None, now, lambda: now)
    taken = taking.take(order, Slow(f"http://{collector.address}"))
    assert len(seen) >= 3
    assert taken.index.events == live(collector)["last"]
    assert store.read("lock") is None


def test_who_lost_the_lock_writes_no_more(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever thread finds that another took it over, and however often it is tried again."""
    monkeypatch.setattr("usage_collector.backup.lease._BEAT_SECONDS", 0.05)
    monkeypatch.setattr("usage_collector.backup.lease._SURE_SECONDS", 0.0)
    store = BucketPlace(place(server)).of("c")
    with store.lock():
        found = store.read("lock")
        assert found
        BucketPlace(place(server)).of("c").write("lock", [b"other"])
        for _ in range(2):
            with pytest.raises(Conflict, match="another backup"):
                store.write("index.json", [b"mine"])
    assert (store.read("lock"), store.read("index.json")) == (b"other", None)


@pytest.mark.usefixtures("sleepy")
def test_a_renewal_whose_answer_was_lost_is_no_other_s(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is as its holder wrote it, so it goes on."""
    monkeypatch.setattr("usage_collector.backup.lease._SURE_SECONDS", -1.0)
    with door(f"127.0.0.1:{server.port}") as way:
        held = BucketPlace(f"s3://bucket/backups?endpoint=http://127.0.0.1:{way.server_port}").of(
            "c"
        )
        with held.lock():
            way.mute = 1
            with suppress(DeliveryFailed):  # a client may also ask again by itself
                held.write("packages/x", [b"x"])
            assert way.mute == 0
            held.write("packages/x", [b"x"])
        assert held.files("packages") == {"packages/x"}
        assert held.read("lock") is None


def test_wrong_credentials_are_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's own words, never the secret."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    with pytest.raises(DeliveryFailed, match="SignatureDoesNotMatch") as caught:
        BucketPlace(place(server)).of("c").read("index.json")
    assert "wrong-secret" not in str(caught.value)


def test_a_server_that_is_killed_in_an_upload_leaves_nothing_half(server: Server) -> None:
    """What was not sent whole is not there when it is back, under no name."""
    store = BucketPlace(place(server)).of("c")
    store.write("packages/before", [b"whole"])

    def pieces() -> Iterator[bytes]:
        for number in range(16):
            if number == 11:
                server.kill()
            yield bytes(1024 * 1024)

    with pytest.raises(DeliveryFailed, match="s3://bucket/backups/c"):
        store.write("packages/large", pieces())
    server.start()
    assert store.files("packages") == {"packages/before"}
    assert store.read("packages/before") == b"whole"


@pytest.mark.parametrize("size", [0, 5_000_000, 8 * 1024 * 1024, 20_000_000])
def test_files_of_any_size_arrive_whole(server: Server, size: int) -> None:
    """Whether they go in one request or in parts."""
    data = os.urandom(size)
    store = BucketPlace(place(server)).of("c")
    assert (
        store.write("packages/x", (data[at : at + 99_999] for at in range(0, size, 99_999))) == size
    )
    assert store.read("packages/x") == data


def test_a_server_that_is_killed_in_a_backup_leaves_a_whole_one(
    collector: Collector, server: Server
) -> None:
    """What is named is there and joins; the next run goes on, and all of it proves."""
    peer = Peer(f"http://{collector.address}")
    where = BucketPlace(place(server))

    def kill(_ledger: str, done: int, _total: int) -> None:
        if done == 200:
            server.kill()

    order = taking.Order(where, None, datetime.now(UTC), lambda: datetime.now(UTC), kill, 100)
    with pytest.raises(DeliveryFailed):
        taking.take(order, peer)
    server.start()
    store = where.of(collector.name)
    found = load_index(store)
    assert found
    assert found.taken is None
    assert (found.packages[0].first, found.events) == (1, 200)
    assert found.files <= store.files("packages")
    taken = taking.take(replace(order, say=lambda *_: None), peer)
    assert taken.index.events == live(collector)["last"]
    assert backup(collector, place(server), "--verify").code == 0


def test_a_shipper_outlives_its_server(collector: Collector, server: Server) -> None:
    """While that is away it tries again; its own lock, which stayed there, does not hold it up."""
    to = ("--from", collector.address, "--to", place(server), "--every", "0.2")
    with shipper(*to) as process:
        level(collector, place(server), process)
        server.kill()
        load(collector, 20, seed=4)
        assert process.stdout
        assert any("s3://bucket/backups" in line for line in process.stdout)
        server.start()
        level(collector, place(server), process)
    store = BucketPlace(place(server)).of(collector.name)
    assert store.read("tail.lock") is None
    found = load_index(store)
    assert found
    assert found.files == store.files("tail")


def test_a_bucket_lets_one_process_follow(collector: Collector, server: Server) -> None:
    """A second one is told so, and takes nothing that the first one has."""
    first = place(server)
    with shipper("--from", collector.address, "--to", first) as process:
        level(collector, first, process)
        with shipper("--from", collector.address, "--to", first) as other:
            assert other.stdout
            assert any("another backup" in line for line in other.stdout)
        assert backup(collector, first).code == 0
