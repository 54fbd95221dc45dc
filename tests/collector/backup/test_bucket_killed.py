"""Backups to a bucket that are killed at each request that changes it; a real server (versitygw).

Before a request that only reads, the bucket is as it is before the next one that changes it.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import signal
from concurrent.futures import Future
from contextlib import closing
from datetime import UTC, datetime
from itertools import count, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.collector.backup.doors import door
from tests.collector.backup.test_backup import load, lose
from tests.collector.backup.test_bucket import CREDENTIALS, Server
from tests.collector.processes import collectors, command, make_keys
from usage_collector.backup import catalog, lease, place, shipping, taking
from usage_collector.backup.stores import Folder
from usage_collector.cli import cli
from usage_collector.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.process import BaseProcess

    from tests.collector.backup.doors import Door
    from tests.collector.processes import Collector
    from usage_collector.backup.index import Index, Kept, Stored

# The S3 client cannot be forked once it was used, and that server uses it never.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])


def backed_up(to: str, address: str) -> None:
    """The command."""
    _alone()
    words = ["backup", "--from", address, "--to", to, "--verify", "--json"]
    cli.main(words, standalone_mode=False)


def in_small_packages(to: str, address: str) -> None:
    """A backup as many runs would have made it."""
    _alone()
    now = datetime.now(UTC)
    taking.take(
        taking.Order(place(to), None, now, lambda: now, largest=100), Peer(f"http://{address}")
    )


def shipped(to: str, address: str) -> None:
    """One step of a shipper."""
    _alone()
    route = shipping.Route(Peer(f"http://{address}"), place(to), None, lambda: datetime.now(UTC))
    with closing(shipping.follow(route)) as steps:
        next(steps)


def _alone() -> None:
    """In a process of its own, which does not wait until a lock is stale."""
    os.environ.update(CREDENTIALS)
    lease._STALE_SECONDS = -1.0
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 1)


class Bench:
    """A collector, the way to the server, and the folder where that keeps the bucket."""

    def __init__(self, collector: Collector, way: Door, folder: Path) -> None:
        self.collector = collector
        self.folder = folder
        self._way = way

    def run(self, what: Callable[[str, str], None], prefix: str, kill_at: int = 0) -> int | None:
        """Its exit code; it is killed at its request of that number."""
        to = f"s3://bucket/{prefix}?endpoint=http://127.0.0.1:{self._way.server_port}"
        self._way.left, self._way.victim = kill_at, Future()
        process: BaseProcess = _PROCESSES.Process(target=what, args=(to, self.collector.address))
        process.start()
        assert process.pid
        self._way.victim.set_result(process.pid)
        process.join()
        return process.exitcode

    def again(self, prefix: str) -> None:
        """The bucket as it was prepared, under another prefix."""
        shutil.copytree(self.folder / "base", self.folder / prefix)

    def whole(self, prefix: str) -> Index:
        """The index; each file that it names is what was taken, and no position is missing."""
        found = catalog.load(Folder(self._home(prefix)))
        assert found
        for one in named(found):
            data = (self._home(prefix) / one.file).read_bytes()
            assert hashlib.sha256(data).hexdigest() == one.sha256
        for ledger in found.all_ledgers:
            for one, two in pairwise(found.of(ledger)):
                assert two.first <= one.last + 1
                assert two.first <= one.last or two.before == one.after
        return found

    def content(self, prefix: str) -> dict[str, str]:
        """All that is stored: a package's or manifest's SHA-256, by name; else names alone."""
        found = {one.file: one.sha256 for one in named(self.whole(prefix))}
        home = self._home(prefix)
        names = [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()]
        return {name: found.get(name, "") for name in names}

    def _home(self, prefix: str) -> Path:
        return self.folder / prefix / self.collector.name


def named(index: Index) -> list[Stored | Kept]:
    """Each file that is part of the backup."""
    return [*index.packages, *index.manifests]


def prepare(bench: Bench, tmp_path: Path) -> int:
    """A backup that gives each step of a run something to do; the events that there are.

    A ledger that only the tail has, much that is small, something new, a delivered month, and
    what a run before left.
    """
    collector, home = bench.collector, bench.folder / "base" / bench.collector.name
    events = load(collector, 60, seed=1)
    assert bench.run(shipped, "base") == 0
    home.rename(tmp_path / "tail")
    lose(collector)
    events += load(collector, 830, seed=2)
    words = ("export-month", "--period", f"{datetime.now(UTC):%Y-%m}", "--peers", collector.address)
    to = ("--to", tmp_path / "exports")
    assert command(*words, *to, environment=make_keys(tmp_path)).code == 0
    assert bench.run(in_small_packages, "base") == 0
    for path in (tmp_path / "tail").iterdir():
        path.rename(home / path.name)
    (home / "packages" / "left.json.gz").write_bytes(b"half")
    return events + load(collector, 40, seed=3)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """All of that, running."""
    server = Server(tmp_path / "s3")
    server.start()
    try:
        with collectors(tmp_path, 1) as [one], door(f"127.0.0.1:{server.port}") as way:
            yield Bench(one, way, server.folder / "bucket")
    finally:
        server.kill()


@pytest.mark.timeout(400)
def test_what_is_killed_at_any_request_leaves_a_whole_backup(bench: Bench, tmp_path: Path) -> None:
    """All that was there still is; the next run proves, and comes to the same as ever."""
    events = prepare(bench, tmp_path)
    before = bench.whole("base")
    bench.again("undisturbed")
    assert bench.run(backed_up, "undisturbed") == 0
    wanted, after = bench.content("undisturbed"), bench.whole("undisturbed")
    assert after.events == events > before.events
    assert len(after.packages) < len(before.packages)
    for what, fewest in ((backed_up, 20), (shipped, 5)):
        for number in count(1):
            prefix = f"{what.__name__}-{number}"
            bench.again(prefix)
            ended = bench.run(what, prefix, kill_at=number)
            assert bench.whole(prefix).events >= before.events
            if ended == 0:
                break
            assert ended == -signal.SIGKILL
            assert bench.run(backed_up, prefix) == 0
            assert bench.content(prefix) == wanted
        assert number > fewest
