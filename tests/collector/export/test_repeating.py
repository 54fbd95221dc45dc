"""A period exported again: the same payload bytes, whatever has happened meanwhile."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.collector.samples import array, event
from usage_collector import events, export
from usage_collector.errors import NotFound
from usage_collector.ledger import Ledgers, Limits, ReceiptFile
from usage_collector.packages import Keys, Package
from usage_collector.periods import Period
from usage_collector.upkeep import Purger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MONTHS = [Period(2026, month) for month in (1, 2, 3)]
MIDDLE = MONTHS[1]
DAY = 86_400_000_000
LIMITS = Limits(18, 70, 1000)


def keys(seed: int) -> Keys:
    """Keys that differ with the seed."""
    return Keys(bytes([seed]) * 64, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


class Chunks:
    """Pieces read like a file."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, size: int, /) -> bytes:
        piece, self._data = self._data[:size], self._data[size:]
        return piece


@dataclass
class House:
    """A collector's ledgers with three months, cut; all time stands in ``now``."""

    folder: Path
    now: int = MONTHS[0].start
    keys: Keys = field(default_factory=lambda: keys(1))

    def __post_init__(self) -> None:
        self.open()
        for number, month in enumerate(MONTHS):
            self.now = month.start + 20 * DAY
            self.store(number, 150 + number)
            export.cut(self.ledgers, month, LIMITS, self.now)

    def open(self) -> None:
        """Starts, again."""
        self.ledgers = Ledgers(self.folder, "c", "z", lambda: self.now)

    def store(self, series: int, count: int) -> None:
        """Takes so many events."""
        raws = [event(n, session_id=f"{series}-{n}") for n in range(count)]
        self.ledgers.writer.append_and_wait(events.parse(array(raws)))

    def exported(self, month: Period = MIDDLE) -> dict[str, tuple[str, str]]:
        """Each file of the month: the SHA-256 of its payload, and of the file itself."""
        exporter = export.Exporter(self.ledgers, "c", "z", lambda: self.keys)
        found = {}
        for file in export.cut(self.ledgers, month, Limits(1, 1, 1), self.now).files:
            package = exporter.positions(file.ledger, file.first, file.last, str(month))
            whole = b"".join(package.gzipped())
            package.close()
            read = Package(Chunks(whole), {})
            assert sum(1 for _ in read.events()) == file.count
            seal = read.close()
            assert seal.proof_ok
            found[package.name] = (seal.payload_sha256, hashlib.sha256(whole).hexdigest())
        return found


def restarted(house: House) -> None:
    """The collector ends and starts."""
    house.ledgers.close()
    house.open()


def more_events(house: House) -> None:
    """Events come in that are dated in the month as well."""
    house.store(9, 333)


def purged(house: House) -> None:
    """The month before was sent, and is purged by and by."""
    sent = [ReceiptFile(name, file) for name, (_, file) in house.exported(MONTHS[0]).items()]
    export.receive(house.ledgers, MONTHS[0], "sent", "test", sent, house.now)
    later = MONTHS[0].start + 200 * DAY
    assert Purger(house.ledgers, 90, hold=True).run(later) == 100
    with pytest.raises(NotFound):
        house.exported(MONTHS[0])


def rotated(house: House) -> None:
    """Both keys are changed."""
    house.keys = keys(2)


def set_aside(house: House) -> None:
    """Another ledger is live since, because this one lost its head."""
    old = house.ledgers.live
    house.ledgers.close()
    (house.ledgers.catalog.path(old) / "head").unlink()
    house.open()
    assert house.ledgers.live != old
    house.store(8, 10)


def cut_later(house: House) -> None:
    """The months that follow are cut."""
    house.now = Period(2026, 6).start
    house.store(7, 5)
    for month in (4, 5, 6):
        export.cut(house.ledgers, Period(2026, month), Limits(2, 3, 4), house.now)


HAPPENINGS = [restarted, more_events, purged, set_aside, cut_later]


@pytest.mark.parametrize("happens", [*HAPPENINGS, rotated])
def test_a_period_exported_again_has_the_same_payloads(
    tmp_path: Path, happens: Callable[[House], None]
) -> None:
    """And the very same files, unless the keys are others."""
    house = House(tmp_path)
    before = house.exported()
    assert len(before) == 3
    happens(house)
    after = house.exported()
    assert {name: payload for name, (payload, _) in after.items()} == {
        name: payload for name, (payload, _) in before.items()
    }
    assert (after == before) is (happens is not rotated)
    house.ledgers.close()


def test_all_of_it_together_changes_no_payload(tmp_path: Path) -> None:
    """Nor does any month's part move into another."""
    house = House(tmp_path)
    before = house.exported(), house.exported(MONTHS[2])
    for happens in (*HAPPENINGS, rotated, restarted):
        happens(house)
    after = house.exported(), house.exported(MONTHS[2])
    for one, other in zip(before, after, strict=True):
        assert {name: a for name, (a, _) in one.items()} == {n: a for n, (a, _) in other.items()}
    house.ledgers.close()
