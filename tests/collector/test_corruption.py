"""Bits that flip, pages and files that go: never a wrong answer in silence, no position twice."""

from __future__ import annotations

import os
import random
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.collector.samples import array, event
from usage_collector import events, export
from usage_collector.errors import UsageError
from usage_collector.ledger import Ledgers, Limits
from usage_collector.periods import Period
from usage_collector.upkeep import check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLACES = int(os.environ.get("CORRUPTION_PLACES", "240"))
BATCHES = 12
MONTH = Period(2026, 10)
NOW = MONTH.start
_FILES = ["events.db"] * 5 + ["events.db-wal"] * 4 + ["head", "head", "ledger.json"]


@dataclass(frozen=True)
class _Kept:
    """A data folder as it was left, and every event that was acknowledged, in order."""

    folder: Path
    ledger: str
    raws: list[bytes]


def _store(ledgers: Ledgers, raws: list[bytes]) -> None:
    assert all(ledgers.writer.append_and_wait(events.parse(array(raws))))


@pytest.fixture(scope="module", params=["killed", "ended"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> _Kept:
    """After a kill most is in the log; after an end all is in the database."""
    folder = tmp_path_factory.mktemp("corruption")
    (folder / "data").mkdir()
    ledgers = Ledgers(folder / "data", "c", "z", lambda: NOW)
    raws = [event(n, noise=random.Random(n).randbytes(n % 300).hex()) for n in range(1500)]
    for start in range(0, 600, 50):
        _store(ledgers, raws[start : start + 50])
    ledgers.close()
    ledgers = Ledgers(folder / "data", "c", "z", lambda: NOW)
    for start in range(600, 1500, 50):
        _store(ledgers, raws[start : start + 50])
    if request.param == "killed":
        shutil.copytree(folder / "data", folder / "left")
    ledgers.close()
    if request.param == "ended":
        shutil.copytree(folder / "data", folder / "left")
    return _Kept(folder / "left", ledgers.live, raws)


def _damage(file: Path, chance: random.Random) -> str:
    data = bytearray(file.read_bytes())
    how = chance.choice(["bit", "bit", "page", "cut", "gone"])
    at = chance.randrange(len(data)) if data else 0
    if how == "gone" or not data:
        file.unlink()
        return f"{file.name} gone"
    if how == "bit":
        data[at] ^= 1 << chance.randrange(8)
    elif how == "page":
        at -= at % 4096
        data[at : at + 4096] = bytes(len(data[at : at + 4096]))
    else:
        del data[at:]
    file.write_bytes(data)
    return f"{file.name} {how} at {at}"


def _served(ledgers: Ledgers, ledger: str) -> Iterator[tuple[int, bytes]]:
    """All that the ledger still gives, position by position."""
    try:
        with ledgers.reader(ledger) as reader:
            first, last = reader.bounds()
            for position in range(first, last + 1):
                try:
                    yield position, reader.event(position)
                except UsageError:
                    continue
    except UsageError:
        return


def _missing(kept: _Kept, folder: Path) -> tuple[bool, set[int]]:
    """Whether a check finds anything, and which positions it calls missing."""
    report = check(folder, lambda *_: None)
    told: set[int] = set()
    for finding in report.findings:
        for first, last in re.findall(r"(\d+) to (\d+)", finding.what):
            told |= set(range(int(first), int(last) + 1))
        for first in re.findall(r"from (\d+) on", finding.what):
            told |= set(range(int(first), len(kept.raws) + 1))
    return bool(report.findings) or report.events < len(kept.raws), told


@pytest.mark.timeout(60 + PLACES)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_damage_is_never_served_and_never_passed_over(
    kept: _Kept, tmp_path: Path, batch: int
) -> None:
    """Each answer is the event that was stored there; what is missing is told by three voices."""
    chance = random.Random(batch)
    for number in range(PLACES // BATCHES // 2):
        folder = tmp_path / str(number)
        shutil.copytree(kept.folder, folder)
        what = _damage(folder / "ledgers" / kept.ledger / chance.choice(_FILES), chance)
        wrong, told = _missing(kept, folder)
        ledgers = Ledgers(folder, "c", "z", lambda: NOW)
        found = dict(_served(ledgers, kept.ledger))
        for position, raw in found.items():
            assert raw == kept.raws[position - 1], f"a wrong answer after {what}"
        status = next(status for status in ledgers.all() if status.id == kept.ledger)
        if len(found) < len(kept.raws):
            assert wrong, f"the check found nothing after {what}"
            assert status.damaged, f"lost in silence after {what}"
        _store(ledgers, [event(5000)])
        if ledgers.live == kept.ledger:
            assert ledgers.all()[0].last == len(kept.raws) + 1, f"a position twice after {what}"
        unread = set(range(1, len(kept.raws) + 1)) - set(found)
        lost = unread - _cut(ledgers, kept, set(found), what)
        assert lost <= told, f"the check does not name what is lost after {what}"
        # The chain is stored at each hundredth position.
        assert all(any(p - 200 <= gone <= p + 200 for gone in unread) for p in told), what
        ledgers.close()
        shutil.rmtree(folder)


def _cut(ledgers: Ledgers, kept: _Kept, readable: set[int], what: str) -> set[int]:
    """The period has what can be read and proven, no position else, and the rest is told.

    The positions that are in it.
    """
    made = export.cut(ledgers, MONTH, Limits(18, 10_000, 1250), NOW)
    cut: set[int] = set()
    for file in made.files:
        if file.ledger == kept.ledger:
            with ledgers.reader(kept.ledger) as reader:
                assert reader.chain(file.first, file.last).last == file.last
                raws = list(reader.events(file.first, file.last))
            stop = min(file.last, len(kept.raws))
            assert raws[: stop - file.first + 1] == kept.raws[file.first - 1 : stop], what
            cut |= set(range(file.first, stop + 1))
    described = export.describe_periods(ledgers, "c", "z")["ledgers"]
    mine = next(entry for entry in described if entry["id"] == kept.ledger)
    # The chain is stored at each hundredth position: more than that much around is not given up.
    lost = set(range(1, len(kept.raws) + 1)) - readable
    given_up = readable - cut
    assert all(any(p - 200 <= gone for gone in lost) for p in given_up), what
    told = {p for first, last in mine["unreported"] for p in range(first, last + 1)}
    assert not mine["readable"] or cut | told >= set(range(1, mine["last"] + 1)) - {
        len(kept.raws) + 1
    }
    return cut
