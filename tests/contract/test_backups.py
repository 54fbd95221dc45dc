"""What breaks a backup becomes a condition: the commands' own words in the operator's status."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.collector import disks
from tests.collector.processes import collectors, command, free_port, simulate
from usage_collector import files
from usage_operator.conditions import Facts, Run, judge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.collector.processes import Collector

ZONE = "eu-1a"
GOOD = {"zone": ZONE, "result": "backed-up", "time": "2026-11-01T02:17:00Z", "job": "before"}
NAME = "c-0"


@dataclass(frozen=True)
class Shelf:
    """A collector, a good encrypted backup of it, and a collector that it may come back to."""

    collector: Collector
    empty: Collector
    folder: Path
    key: Path

    @property
    def first(self) -> Path:
        """Its first package, which the next backup has no reason to fetch again."""
        text = (self.folder / NAME / "index.json").read_bytes()
        first, second, *_ = json.loads(text)["index"]["packages"]
        assert second["first"] == first["last"] + 1
        return self.folder / NAME / str(first["file"])

    @property
    def content(self) -> dict[str, bytes]:
        """All that is stored, by name; locks are none of it."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {path.name: path.read_bytes() for path in found if ".lock" not in path.suffixes[-1:]}

    def run(self, word: str, *more: object, to: object = None) -> tuple[int, Facts]:
        """Runs a command as a job does; its exit code, and what the operator sees of it."""
        said = self.key.with_name(f"{word}-summary")
        said.unlink(missing_ok=True)
        place = to or self.folder
        way: tuple[object, ...] = ("--from", self.collector.address, "--to", place)
        if word == "restore":
            way = (place, "--to", self.empty.address, "--collector", NAME)
        keyed = () if "--key-file" in more else ("--key-file", self.key)
        code = command(word, *way, "--summary-file", said, *keyed, *more).code
        told = json.loads(said.read_bytes()) if said.exists() else None
        state, why = ("failed", "BackoffLimitExceeded") if code else ("complete", None)
        run = Run("job-1", "2026-11-05T02:17:00Z", state, told, why, ZONE, "restore eu-1a")
        now = datetime.now(UTC)
        if word == "restore":
            return code, Facts(generation=1, now=now, restores=(run,))
        return code, Facts(generation=1, now=now, backups=(run,), backed_zones=(ZONE,))


def says(found: Facts, kind: str) -> tuple[str, str, str]:
    """A condition after that, of a resource that had a good backup before."""
    status = judge(found, {"backups": [GOOD]})
    if found.backups and kind == "BackedUp":
        assert status.last_backup
        assert status.last_backup.time == GOOD["time"]
    return next((one.status, one.reason, one.message) for one in status.conditions
                if one.type == kind)  # fmt: skip


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """A collector that took more since its backup was taken."""
    folder = tmp_path_factory.mktemp("taken")
    key = folder / "key"
    key.write_bytes(b"k" * 32)
    with collectors(folder, 2) as [collector, empty]:
        shelf = Shelf(collector, empty, folder / "backups", key)
        load(collector, 130, 1)
        assert shelf.run("backup")[0] == 0
        load(collector, 60, 2)
        yield shelf


def load(collector: Collector, jobs: int, seed: int) -> None:
    """Sends jobs."""
    assert simulate([collector], "--jobs", jobs, "--sessions", 0, "--seed", seed).code == 0


@pytest.fixture
def shelf(taken: Shelf, tmp_path: Path) -> Shelf:
    """The same with a copy of the backup, to be broken."""
    shutil.copytree(taken.folder, tmp_path / "backups")
    return replace(taken, folder=tmp_path / "backups")


CASES = {
    "another key": "is encrypted with key",
    "a short key": "at least 32 are needed",
    "a bucket that is away": "no answer",
    "a full volume": "No space left on device",
    "no scratch space": "give $TMPDIR more room",
    "two at once": "another backup to",
    "a collector that is away": "cannot be reached",
    "both indexes altered": "index.json is not what was written",
}


@pytest.mark.parametrize("case", CASES)
def test_what_keeps_a_backup_from_being_taken_is_told(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """The condition has the command's words, and the last good backup is as it was."""
    with ExitStack() as stack:
        more: tuple[object, ...] = ()
        to: object = None
        match case:
            case "another key" | "a short key":
                other = tmp_path / "other"
                other.write_bytes(b"o" * (32 if case == "another key" else 31))
                more = ("--key-file", other)
            case "a bucket that is away":
                to = f"s3://bucket/p?endpoint=http://127.0.0.1:{free_port()}"
                monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
                monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
            case "a full volume":
                size = sum(len(one) for one in shelf.content.values())
                small = stack.enter_context(disks.memory(size + 64 * 1024))
                shelf = _moved(shelf, small)
            case "no scratch space":
                small = stack.enter_context(disks.memory(8 * 1024))
                monkeypatch.setenv("TMPDIR", str(small))
            case "two at once":
                held = files.lock(shelf.folder / NAME / ".lock")
                stack.callback(os.close, held)
            case "a collector that is away":
                more = ("--from", f"127.0.0.1:{free_port()}")
            case _:
                for path in (shelf.folder / NAME).glob("index*.json"):
                    path.write_text(path.read_text().replace('"first": 1,', '"first": 2,'))
        before = shelf.content
        code, found = shelf.run("backup", *more, to=to)
        assert code in (1, 2)
        state, reason, message = says(found, "BackedUp")
        assert (state, reason) == ("False", "BackupFailed"), message
        assert CASES[case] in message
        assert shelf.content == before


def _moved(shelf: Shelf, folder: Path) -> Shelf:
    """The backup on a volume that has little room left."""
    shutil.copytree(shelf.folder, folder / "backups")
    room = os.statvfs(folder)
    (folder / "ballast").write_bytes(bytes(room.f_bavail * room.f_frsize - 4096))
    return replace(shelf, folder=folder / "backups")


@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_a_broken_backup_is_told_by_its_proof_and_by_a_restore(shelf: Shelf, how: str) -> None:
    """Both name the file, the whole ones are left alone, and nothing comes back half."""
    victim = shelf.first
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data if how == "flip" else data[: len(data) // 2])
    if how == "remove":
        victim.unlink()
    before, url = shelf.content, f"http://{shelf.empty.address}/v1/periods"
    ledgers = httpx.get(url).json()["ledgers"]
    code, found = shelf.run("restore")
    state, reason, message = says(found, "Restored")
    assert (code, state, reason) == (1, "False", "RestoreFailed"), message
    assert victim.name in message
    assert (httpx.get(url).json()["ledgers"], shelf.content) == (ledgers, before)
    code, found = shelf.run("backup", "--verify")
    state, reason, message = says(found, "BackupVerified")
    assert (code, state, reason) == (1, "False", "VerifyFailed")
    assert victim.name in message
