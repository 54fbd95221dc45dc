"""Backups of real collectors, taken, broken, proven and brought back by the command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.collector import disks
from tests.collector.processes import Collector, collectors, command, make_keys, simulate
from usage_collector import files
from usage_collector.cli import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.collector.processes import Result


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    """One collector with 400 jobs."""
    with collectors(tmp_path, 1) as [one]:
        load(one, 400, seed=1)
        yield one


def load(collector: Collector, jobs: int, seed: int) -> int:
    """Sends jobs; how many events that were."""
    sent = simulate([collector], "--jobs", jobs, "--sessions", 0, "--seed", seed, "--batch", 50)
    assert sent.code == 0, sent.err
    return int(sent.facts["events"])


def backup(collector: Collector, folder: Path, *more: object) -> Result:
    """Takes a backup."""
    return command("backup", "--from", collector.address, "--to", folder, "--json", *more)


def restore(collector: Collector, folder: Path, *more: object) -> Result:
    """Brings it back."""
    return command("restore", folder, "--to", collector.address, "--json", *more)


def status(collector: Collector) -> Any:
    """What the collector says of itself."""
    return httpx.get(f"http://{collector.address}/v1/periods").json()


def live(collector: Collector) -> Any:
    """Its live ledger."""
    return next(one for one in status(collector)["ledgers"] if one["state"] == "live")


def index(collector: Collector, folder: Path) -> Any:
    """The backup's index."""
    return json.loads((folder / collector.name / "index.json").read_text())["index"]


def lose(collector: Collector) -> None:
    """The volume is gone, and an empty one takes its place."""
    collector.stop(signal.SIGKILL)
    shutil.rmtree(collector.data)
    collector.start()


def test_only_what_is_new_is_fetched(collector: Collector, tmp_path: Path) -> None:
    """A second backup adds what came, a third one nothing; people can verify the packages."""
    folder = tmp_path / "backups"
    first = backup(collector, folder).facts["collectors"][0]
    assert first["new_events"] == first["events"] == live(collector)["last"]
    more = load(collector, 130, seed=2)
    second = backup(collector, folder).facts["collectors"][0]
    assert second["new_events"] == more
    assert second["fetched_bytes"] < first["fetched_bytes"]
    third = backup(collector, folder).facts["collectors"][0]
    assert (third["new_events"], third["fetched_bytes"]) == (0, 0)
    assert index(collector, folder)["ledgers"][0]["head"] == live(collector)["head"]
    verified = command("verify", folder / collector.name / "packages", "--json")
    assert (verified.code, verified.facts["events"]) == (0, live(collector)["last"])


def test_a_lost_volume_comes_back(collector: Collector, tmp_path: Path) -> None:
    """Everything up to the backup is there again, and is counted once; the dry run said so."""
    folder = tmp_path / "backups"
    assert backup(collector, folder).code == 0
    ledger = live(collector)
    lose(collector)
    load(collector, 400, seed=1)
    planned = restore(collector, folder, "--dry-run").facts
    assert planned["restored"] == []
    assert planned["plan"][0]["comes"] == [[1, ledger["last"]]]
    assert len(status(collector)["ledgers"]) == 1
    done = restore(collector, folder)
    assert (done.code, done.facts["restored"][0]["state"]) == (0, "restored")
    assert min(done.facts["restored"][0][what] for what in ("bytes", "seconds")) > 0
    found = next(one for one in status(collector)["ledgers"] if one["id"] == ledger["id"])
    assert (found["head"], found["state"], found["restored"]) == (ledger["head"], "closed", True)
    load(collector, 400, seed=1)
    assert restore(collector, folder).facts["restored"] == []
    assert command("check", "--data-dir", collector.data).code == 0


def test_a_place_that_cannot_be_looked_at_is_not_an_empty_one(tmp_path: Path) -> None:
    """Nobody is told that there is no backup where that is not known."""
    place = tmp_path / "place"
    place.symlink_to(place)
    done = command("backups", place)
    assert (done.code, "Too many levels" in done.err) == (1, True)
    assert "there is no backup" not in done.err


def test_a_key_that_comes_later_says_what_it_does_not_encrypt(
    collector: Collector, tmp_path: Path
) -> None:
    """Packages that were there are no others now, and nobody takes them for encrypted."""
    folder, key = tmp_path / "backups", tmp_path / "key"
    key.write_bytes(b"k" * 32)
    assert backup(collector, folder).facts["collectors"][0]["notes"] == []
    (note,) = backup(collector, folder, "--key-file", key).facts["collectors"][0]["notes"]
    (listed,) = command("backups", folder, "--json").facts["backups"]
    assert f"before the key was given: {listed['not_encrypted']} files" in note
    assert listed["encrypted_with"]


def test_an_encrypted_backup_needs_its_key(collector: Collector, tmp_path: Path) -> None:
    """No event is readable in it; the wrong key is named, nothing is changed by it."""
    folder, key, other = tmp_path / "backups", tmp_path / "key", tmp_path / "other"
    key.write_bytes(b"k" * 32)
    other.write_bytes(b"o" * 32)
    assert backup(collector, folder, "--key-file", key, "--verify").code == 0
    for path in (folder / collector.name / "packages").iterdir():
        assert path.read_bytes().startswith(b"USAGEBK1")
    for without in ((), ("--key-file", other)):
        refused = backup(collector, folder, *without)
        assert (refused.code, refused.facts["result"]) == (2, "failed")
        assert "encrypted with key" in refused.facts["error"]
    lose(collector)
    for wrong in ((), ("--key-file", other)):
        answer = restore(collector, folder, *wrong)
        assert answer.code == 2
        assert "key" in answer.err
    assert len(status(collector)["ledgers"]) == 1
    assert restore(collector, folder, "--key-file", key).code == 0


@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_a_broken_backup_is_found_and_brings_nothing_back(
    collector: Collector, tmp_path: Path, how: str
) -> None:
    """One flipped byte, a cut file, a missing one: verifying and restoring both name the file."""
    folder = tmp_path / "backups"
    assert backup(collector, folder).code == 0
    victim = max(
        (folder / collector.name / "packages").iterdir(), key=lambda one: one.stat().st_size
    )
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 4
    if how == "remove":
        victim.unlink()
    else:
        victim.write_bytes(data if how == "flip" else data[: len(data) // 2])
    proven = backup(collector, folder, "--verify")
    findings = proven.facts["collectors"][0]["verified"]["findings"]
    assert (proven.code, len(findings)) == (1, 1)
    assert victim.name in findings[0]
    listed = command("backups", folder)
    assert (listed.code, "did not prove" in listed.err) == (1, True)
    lose(collector)
    answer = restore(collector, folder)
    assert answer.code == 1
    assert victim.name in answer.err
    assert len(status(collector)["ledgers"]) == 1
    # It notices a moment after the command has ended.
    deadline = time.monotonic() + 60
    while [path.name for path in (collector.data / "ledgers").iterdir()] != [live(collector)["id"]]:
        assert time.monotonic() < deadline, "what was begun is still there"
        time.sleep(0.05)


def test_a_backup_knows_another_history(collector: Collector, tmp_path: Path) -> None:
    """A volume that was put back and went on otherwise is refused; the backup stays as it was."""
    folder, old = tmp_path / "backups", tmp_path / "old"
    collector.stop()
    shutil.copytree(collector.data, old)
    collector.start()
    load(collector, 130, seed=2)
    assert backup(collector, folder).code == 0
    before = (folder / collector.name / "index.json").read_bytes()
    collector.stop()
    shutil.rmtree(collector.data)
    old.rename(collector.data)
    collector.start()
    shorter = backup(collector, folder)
    assert (shorter.code, "older state" in shorter.err) == (1, True)
    load(collector, 230, seed=3)
    other = backup(collector, folder)
    assert (other.code, "do not join" in other.err) == (1, True)
    assert (folder / collector.name / "index.json").read_bytes() == before


def test_two_at_once_do_not_meet(collector: Collector, tmp_path: Path) -> None:
    """While one holds the place another says so and leaves."""
    folder = tmp_path / "backups"
    (folder / collector.name / "packages").mkdir(parents=True)
    held = files.lock(folder / collector.name / ".lock")
    answer = backup(collector, folder)
    assert (answer.code, "another backup" in answer.err) == (1, True)
    os.close(held)
    assert backup(collector, folder).code == 0


def test_a_collector_that_is_away_costs_only_itself(collector: Collector, tmp_path: Path) -> None:
    """The others are backed up, the exit code and the result name it."""
    both = f"{collector.address},127.0.0.1:1"
    answer = command("backup", "--from", both, "--to", tmp_path / "b", "--json")
    assert answer.code == 1
    assert [one["ok"] for one in answer.facts["collectors"]] == [True, False]


def test_a_damaged_ledger_is_backed_up_as_far_as_it_can_be_read(
    collector: Collector, tmp_path: Path
) -> None:
    """Around a broken block everything is fetched, and what is missing is told."""
    folder = tmp_path / "backups"
    ledger = live(collector)["id"]
    collector.stop()
    path = collector.data / "ledgers" / ledger / "events.db"
    database = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    blocks = [row[0] for row in database.execute("SELECT data FROM blocks ORDER BY first")]
    database.close()
    assert len(blocks) > 3
    # Wherever it stands: what was packed again may have left a copy in a page that is free now.
    begin = blocks[1][:100]
    path.write_bytes(path.read_bytes().replace(begin, begin[:40] + bytes(20) + begin[60:]))
    collector.start()
    httpx.get(f"http://{collector.address}/v1/export")
    load(collector, 10, seed=9)
    answer = backup(collector, folder)
    assert answer.code == 0, answer.err
    facts = answer.facts["collectors"][0]
    missing = index(collector, folder)["unreadable"].get(ledger, [])
    assert len(missing) == 1
    assert ledger in facts["notes"][0]
    assert facts["events"] == sum(one["last"] for one in status(collector)["ledgers"]) - sum(
        last - first + 1 for first, last in missing
    )


def ended_at(step: int, arguments: list[str]) -> bool:
    """Runs a command in a process that ends at that step on the disk, as by a kill."""
    child = os.fork()
    if child == 0:
        left = step

        def count(event: str, details: tuple[object, ...]) -> None:
            nonlocal left
            if event in ("os.rename", "os.remove", "open") and "/backups/" in str(details[0]):
                left -= 1
                if left == 0:
                    os._exit(9)

        sys.addaudithook(count)
        with Path(os.devnull).open("w") as nothing:
            os.dup2(nothing.fileno(), 1)
        try:
            cli.main(arguments, standalone_mode=False)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.timeout(400)
def test_a_backup_that_is_killed_at_any_step_leaves_a_whole_one(
    collector: Collector, tmp_path: Path
) -> None:
    """Whatever step it ends at, the index names only what is there; the next run completes it."""
    folder = tmp_path / "backups"
    assert backup(collector, folder).code == 0
    whole = index(collector, folder)["taken"]
    ended = 0
    for step in range(1, 60):
        if step % 15 == 1:
            load(collector, 30, seed=10 + step)
        to = ["--from", collector.address, "--to", str(folder), "--json"]
        ended += ended_at(step, ["backup", *to])
        found = index(collector, folder)
        for one in found["packages"]:
            path = folder / collector.name / one["file"]
            assert path.stat().st_size == one["stored_bytes"]
        assert found["taken"] >= whole
        runs = [(one["first"], one["last"]) for one in found["packages"]]
        assert all(a[1] + 1 == b[0] for a, b in pairwise(runs))
    assert ended > 12
    assert backup(collector, folder, "--verify").code == 0
    left = {path.name for path in (folder / collector.name / "packages").iterdir()}
    assert left == {one["file"].split("/")[1] for one in index(collector, folder)["packages"]}


def test_what_was_lost_comes_back_with_the_next_backup(
    collector: Collector, tmp_path: Path
) -> None:
    """Where that is allowed, once; the run after it has nothing to bring back."""
    folder = tmp_path / "backups"
    assert backup(collector, folder).code == 0
    lost = live(collector)
    lose(collector)
    load(collector, 20, seed=3)
    found = backup(collector, folder, "--auto-restore")
    assert (found.code, len(found.facts["restored"])) == (0, 1)
    assert lost["id"] in found.facts["restored"][0]
    ids = [one["id"] for one in status(collector)["ledgers"]]
    assert sorted(ids) == sorted([lost["id"], live(collector)["id"]])
    again = backup(collector, folder, "--auto-restore", "--verify")
    assert (again.code, again.facts["restored"]) == (0, [])
    assert again.facts["events"] == lost["last"] + live(collector)["last"]


def test_a_full_volume_leaves_the_last_good_backup(collector: Collector, tmp_path: Path) -> None:
    """The message says what is full; with more room the next run goes on."""
    with disks.memory(100 * 1024) as folder:
        assert backup(collector, folder).code == 0
        before = index(collector, folder)
        load(collector, 2500, seed=2)
        full = backup(collector, folder)
        assert (full.code, "No space left" in full.err) == (1, True)
        assert "spec.backup.destination.volume.size" in full.err
        after = index(collector, folder)
        assert after["taken"] == before["taken"]
        assert command("verify", folder / collector.name / "packages").code == 0
        subprocess.run(["mount", "-o", "remount,size=4M", folder], check=True)
        assert backup(collector, folder, "--verify").code == 0


def test_another_collector_takes_a_backup_over(collector: Collector, tmp_path: Path) -> None:
    """What was delivered under the old name stays delivered; the rest is in the next month."""
    folder, exports = tmp_path / "backups", tmp_path / "exports"
    month = f"{datetime.now(UTC):%Y-%m}"
    keys = make_keys(tmp_path)
    order = ("export-month", "--period", month, "--to", exports, "--json")
    first = command(*order, "--peers", collector.address, environment=keys)
    assert first.code == 0, first.err
    load(collector, 30, seed=2)
    assert backup(collector, folder).code == 0
    ledger = live(collector)
    heir = Collector("heir", tmp_path, make_keys(tmp_path))
    heir.start()
    try:
        refused = restore(heir, folder)
        assert (refused.code, f"there are: {collector.name}" in refused.err) == (1, True)
        assert restore(heir, folder, "--collector", collector.name).code == 0
        found = next(one for one in status(heir)["ledgers"] if one["id"] == ledger["id"])
        assert (found["sent"], found["last"]) == (first.facts["events"], ledger["last"])
    finally:
        heir.stop()


def test_names_of_any_characters_have_backups(tmp_path: Path) -> None:
    """Taken, proven and brought back; another name that comes to the same folder is refused."""
    one, other = (Collector(name, tmp_path, make_keys(tmp_path)) for name in ("eu ä", "eu ö"))
    try:
        one.start()
        load(one, 10, seed=1)
        assert backup(one, tmp_path / "backups", "--verify").code == 0
        assert restore(one, tmp_path / "backups", "--dry-run").code == 0
        other.start()
        refused = backup(other, tmp_path / "backups")
        assert refused.code == 1
        assert "is that of eu ä, not of eu ö" in refused.err
    finally:
        one.stop()
        other.stop()


def test_wrong_flags_say_what_is_right(tmp_path: Path) -> None:
    """Nothing is done, and the message names the flag or the place."""
    for arguments in (
        ("backup", "--from", "nowhere", "--to", tmp_path),
        ("backup", "--from", "a:1", "--to", "gopher://x"),
        ("backup", "--from", "a:1", "--to", tmp_path, "--keep-days", "0"),
        ("restore", tmp_path, "--to", "nowhere"),
    ):
        assert command(*arguments).code == 2, arguments
    assert command("backups", tmp_path).code == 1
