"""A host that loses its power: only what was flushed is sure to be there, and it is enough.

A real collector is traced while it takes events. The trace is then replayed up to a moment of
chance: each file gets all that was flushed until then, and of the sectors written since a subset.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
import shutil
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.collector import traced
from tests.collector.process import CollectorProcess
from tests.collector.samples import array, event
from usage_collector.errors import Damaged
from usage_collector.ledger import Ledgers, open_reader
from usage_collector.upkeep import check

if TYPE_CHECKING:
    from pathlib import Path

REQUESTS, STATES = 400, 60
_SECTOR = 512
_NAME = re.compile(rb'"session_id": "(\d+-\d+)"')


@dataclass
class _File:
    """What is surely on the disk, and the sectors that may be: (offset, bytes), in order."""

    safe: bytearray
    pending: list[tuple[int, bytes]] = field(default_factory=list)

    def write(self, call: traced.Call) -> None:
        end = call.offset + len(call.data)
        at = call.offset
        while at < end:
            stop = min(end, (at // _SECTOR + 1) * _SECTOR)
            self.pending.append((at, call.data[at - call.offset : stop - call.offset]))
            at = stop

    def flush(self) -> None:
        for offset, data in self.pending:
            _put(self.safe, offset, data)
        self.pending.clear()

    def after(self, chance: random.Random) -> bytes:
        """One of the contents that this file may be found with."""
        found = bytearray(self.safe)
        share = chance.choice([0.0, 0.1, 0.5, 0.9, 1.0])
        for offset, data in self.pending:
            if chance.random() < share:
                _put(found, offset, data)
        return bytes(found)


def _put(target: bytearray, offset: int, data: bytes) -> None:
    target.extend(bytes(max(offset + len(data) - len(target), 0)))
    target[offset : offset + len(data)] = data


@dataclass(frozen=True)
class _Recorded:
    base: Path
    ledger: Path
    calls: list[traced.Call]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> _Recorded:
    """A folder as it was after a clean end, and all that a process then did to it until killed."""
    folder = tmp_path_factory.mktemp("power")
    eager = [sys.executable, "-m", "tests.collector.eager"]
    wrapper = [*traced.wrapper(folder / "trace", kept=20_000), *eager]
    with CollectorProcess(folder / "data", EATS_SECURE="false") as collector:
        httpx.post(collector.ingest_url + "/v1/log", content=event()).raise_for_status()
        assert collector.stop() == 0
        shutil.copytree(folder / "data", folder / "base")
        collector.wrapper = wrapper
        collector.start()
        assert collector.process is not None
        with httpx.Client(base_url=collector.ingest_url) as client:
            for number in range(REQUESTS):
                noise = random.Random(number).randbytes(600).hex()
                names = [f"{number}-{i}" for i in range(1 + number % 12)]
                raws = [event(number, session_id=name, noise=noise) for name in names]
                assert client.post("/v1/log", content=array(raws)).status_code == 201
        collector.kill()
        calls = list(traced.calls(folder / "trace", collector.process.pid))
    ledger = next((folder / "base").glob("ledgers/*/events.db")).parent
    return _Recorded(folder / "base", ledger.relative_to(folder / "base"), calls)


def _lose_power(recorded: _Recorded, until: int, chance: random.Random, folder: Path) -> list[str]:
    """Make the folder as it may be found when the power went then; the acknowledged events."""
    shutil.copytree(recorded.base, folder)
    ledger = folder / recorded.ledger
    files = {
        name: _File(bytearray((ledger / name).read_bytes()))
        for name in ("events.db", "events.db-wal", "head")
    }
    acknowledged: list[str] = []
    asked: dict[int, bytes] = {}
    for call in recorded.calls[:until]:
        file = files.get(call.path.rpartition("/")[2])
        if call.name.startswith(("read", "recv")):
            asked[call.descriptor] = asked.get(call.descriptor, b"") + call.data
        elif call.data.startswith(b"HTTP/1.1 201"):
            acknowledged += [name.decode() for name in _NAME.findall(asked.pop(call.descriptor))]
        elif file is None:
            continue
        elif call.name == "pwrite64":
            file.write(call)
        elif call.name in ("fsync", "fdatasync"):
            file.flush()
    for name, file in files.items():
        (ledger / name).write_bytes(file.after(chance))
    (ledger / "events.db-shm").unlink(missing_ok=True)
    return acknowledged


def _stored(folder: Path) -> tuple[list[str], list[str]]:
    """The ledgers that a collector has after its start, and the names of all events in them."""
    ledgers = Ledgers(folder, "collector-0", "eu-1a", lambda: 1)
    try:
        with ledgers.reader() as reader:
            first, last = reader.bounds()
            names = [
                name.decode() for raw in reader.events(first, last) for name in _NAME.findall(raw)
            ]
        return [status.id for status in ledgers.all()], names
    finally:
        ledgers.close()


def test_the_recording_is_worth_something(recorded: _Recorded) -> None:
    """It holds commits, flushes, at least one checkpoint in the middle, and the answers.

    Events were filed and small blocks packed together meanwhile.
    """
    answers, moved = [], []
    for number, call in enumerate(recorded.calls):
        if call.data.startswith(b"HTTP/1.1 201"):
            answers.append(number)
        elif call.path.endswith("events.db") and call.name == "fdatasync":
            moved.append(number)
    assert len(answers) == REQUESTS
    assert any(answers[0] < number < answers[-1] for number in moved)
    left = recorded.base.parent / "data" / recorded.ledger
    with open_reader(left, recorded.ledger.name) as reader:
        assert reader.indexed() > 0
        assert reader.sealed() > 0


def test_without_flushes_the_replay_loses_events(recorded: _Recorded, tmp_path: Path) -> None:
    """The simulation can fail: a collector that never flushed would not have come through it."""
    unflushed = [call for call in recorded.calls if call.name not in ("fsync", "fdatasync")]
    careless = _Recorded(recorded.base, recorded.ledger, unflushed)
    chance = random.Random(hashlib.sha256(b"careless").digest())
    lost = False
    for number in range(5):
        folder = tmp_path / str(number)
        acknowledged = _lose_power(careless, len(unflushed), chance, folder)
        names: list[str] = []
        with contextlib.suppress(Damaged):
            names = _stored(folder)[1]
        lost = lost or bool(set(acknowledged) - set(names))
    assert lost


@pytest.mark.parametrize("seed", range(3))
def test_every_state_after_a_power_loss_holds_what_was_acknowledged(
    recorded: _Recorded, tmp_path: Path, seed: int
) -> None:
    """Nothing is lost or doubled, the chain holds, and no ledger is set aside for it."""
    chance = random.Random(seed)
    for number in range(STATES // 3):
        folder = tmp_path / str(number)
        until = chance.randrange(len(recorded.calls) + 1)
        acknowledged = _lose_power(recorded, until, chance, folder)
        ids, names = _stored(folder)
        assert ids == [recorded.ledger.name], f"set aside at {until}"
        assert not set(acknowledged) - set(names), f"lost at {until}"
        assert len(names) == len(set(names)), f"doubled at {until}"
        assert not check(folder, lambda *_: None).findings
        shutil.rmtree(folder)
