"""What a proof found broken in a backup is fetched again, as long as the collector has it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

import pytest

from tests.collector.backup.test_backup import backup, index, live, load, lose
from tests.collector.processes import collectors, command, make_keys
from usage_collector.backup import place
from usage_collector.backup.taking import Order, _Run, take
from usage_collector.errors import PeerUnavailable
from usage_collector.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.collector.processes import Collector


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """One collector with two packages' worth of jobs; the last test takes its volume away."""
    with collectors(tmp_path_factory.mktemp("one"), 1) as [one]:
        load(one, 130, seed=1)
        yield one


def victim(collector: Collector, folder: Path) -> Path:
    """The backup's first package, which a later backup has no reason of its own to fetch."""
    first, *rest = index(collector, folder)["packages"]
    assert rest
    return folder / collector.name / str(first["file"])


def spoil(path: Path, how: str) -> None:
    """One bit of a file is another, or it is gone, or reading it is an I/O error (EIO)."""
    if how in ("remove", "unreadable"):
        path.unlink()
        if how == "unreadable":
            path.symlink_to("/proc/self/mem")  # nothing is mapped at its beginning
        return
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["flip", "remove", "unreadable"])
def test_what_is_broken_is_fetched_again(collector: Collector, tmp_path: Path, how: str) -> None:
    """By the run after the proof that found it; it says so, and all is proven once more."""
    folder, key = tmp_path / "backups", tmp_path / "key"
    key.write_bytes(b"k" * 32)
    more = ("--verify-every", 7, "--key-file", key)
    assert backup(collector, folder, *more).code == 0
    path = victim(collector, folder)
    before = index(collector, folder)["packages"][0]["sha256"]
    spoil(path, how)
    load(collector, 5, seed=2)
    assert backup(collector, folder, *more).code == 0
    proven = backup(collector, folder, "--verify", "--key-file", key)
    assert (proven.code, "$TMPDIR" in proven.err) == (1, False), proven.err
    mended = backup(collector, folder, *more)
    assert (mended.code, mended.facts["verified_ok"]) == (0, True), mended.err
    assert f"{path.name} was not what was taken, and was fetched again" in mended.facts["error"]
    assert index(collector, folder)["packages"][0]["sha256"] == before
    again = backup(collector, folder, *more).facts["collectors"][0]
    assert (again["fetched_bytes"], again["notes"]) == (0, [])


def test_an_index_that_cannot_be_read_is_kept_twice(collector: Collector, tmp_path: Path) -> None:
    """The copy does, and both are written anew; with neither nothing is taken or overwritten."""
    folder = tmp_path / "backups"
    assert backup(collector, folder).code == 0
    first, copy = (folder / collector.name / name for name in ("index.json", "index.copy.json"))
    spoil(first, "unreadable")
    done = backup(collector, folder, "--verify")
    assert (done.code, done.facts["collectors"][0]["fetched_bytes"]) == (0, 0), done.err
    assert first.read_bytes() == copy.read_bytes()
    spoil(first, "unreadable")
    spoil(copy, "unreadable")
    assert backup(collector, folder).code == 1
    assert first.is_symlink()
    assert copy.is_symlink()


def test_a_manifest_is_fetched_again(collector: Collector, tmp_path: Path) -> None:
    """What a delivered month held can be compared once more, without anybody asking for it."""
    folder, month = tmp_path / "backups", f"{datetime.now(UTC):%Y-%m}"
    words = ("export-month", "--period", month, "--peers", collector.address)
    done = command(*words, "--to", tmp_path / "exports", environment=make_keys(collector.folder))
    assert done.code == 0, done.err
    assert backup(collector, folder).code == 0
    (path,) = (folder / collector.name / "manifests").iterdir()
    spoil(path, "flip")
    assert backup(collector, folder, "--verify").code == 1
    done = backup(collector, folder)
    (mended,) = done.facts["collectors"]
    assert (done.code, mended["verified"]["delivered_files"]) == (0, 1)
    assert mended["notes"] == [
        f"manifests/{path.name} was not what was taken, and was fetched again"
    ]


def test_what_is_new_does_not_wait_for_what_is_mended(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever comes in the way of that, what came since is in the backup."""
    folder = tmp_path / "backups"
    assert backup(collector, folder).code == 0
    spoil(victim(collector, folder), "flip")
    assert backup(collector, folder, "--verify").code == 1
    load(collector, 5, seed=3)

    def gone(*_: object) -> NoReturn:
        raise PeerUnavailable("it is gone", "start it")

    monkeypatch.setattr(_Run, "_again", gone)
    now = datetime.now(UTC)
    order = Order(place(str(folder)), None, now, lambda: now)
    with Peer(f"http://{collector.address}") as peer, pytest.raises(PeerUnavailable):
        take(order, peer)
    assert index(collector, folder)["packages"][-1]["last"] == live(collector)["last"]


def test_what_nobody_has_any_more_stays_named(collector: Collector, tmp_path: Path) -> None:
    """Nothing is let go for it, and new events are backed up all the same."""
    folder = tmp_path / "backups"
    assert backup(collector, folder).code == 0
    path = victim(collector, folder)
    spoil(path, "flip")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    lose(collector)
    load(collector, 5, seed=2)
    for _ in range(2):
        failed = backup(collector, folder, "--verify")
        assert failed.code == 1
    (told,) = failed.facts["collectors"]
    assert told["notes"] == [
        f"packages/{path.name} was not what was taken: the collector does not have it any more"
    ]
    assert told["events"] > live(collector)["last"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
