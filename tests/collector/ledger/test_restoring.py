"""A ledger that comes back beside the live one."""

from __future__ import annotations

import io
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from tests.collector import disks, made
from tests.collector.ledger.conftest import NOW
from tests.collector.spoiling import spoil
from usage_collector import events, export
from usage_collector.errors import Conflict, InvalidInput, StorageUnavailable
from usage_collector.ledger import (
    Cut,
    CutFile,
    Ledgers,
    Limits,
    Origin,
    Part,
    Receipt,
    ReceiptFile,
    restore,
    unreported,
)
from usage_collector.periods import Period

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from usage_collector.ledger import Restored

    Open = Callable[[], Ledgers]

LOST = made.ledger(950)
LIMITS = Limits(18.0, 10_000, 1250.0)


def part(first: int, last: int, ledger: made.Ledger = LOST) -> Part:
    """The package of these positions."""
    plain = ledger.plain(first, last, period=None)
    return Part(f"{first}-{last}", io.BytesIO(plain), NOW - 1)


def origin(cuts: Sequence[Cut] = ()) -> Origin:
    """The lost ledger as it was backed up."""
    return Origin(LOST.id, NOW - 10**12, LOST.collector, LOST.zone, list(cuts))


def cut(period: str, first: int, last: int, receipt: str | None = None) -> Cut:
    """A cut of the lost ledger, sent or not."""
    name = f"usage-{LOST.collector}-{LOST.id[:8]}-{first}-{last}.json.gz"
    files = [ReceiptFile(name, "0" * 64)]
    receipts = [Receipt(receipt, "someone", NOW - 2, files)] if receipt else []
    file = CutFile(LOST.id, first, last, last - first + 1, last - first + 1, 0.0)
    return Cut(period, NOW - 3, LIMITS, {LOST.id: last}, [file], receipts)


def back(ledgers: Ledgers, *runs: tuple[int, int], cuts: Sequence[Cut] = ()) -> Restored:
    """Restores these packages."""
    return restore(ledgers, origin(cuts), [part(*run) for run in runs], NOW)


def held(ledgers: Ledgers) -> list[bytes]:
    """What the restored ledger gives."""
    with ledgers.reader(LOST.id) as reader:
        return list(reader.events(*reader.bounds()))


def test_it_comes_back_as_it_was(open_ledgers: Open) -> None:
    """Positions, bytes and chain are those of the original, and the live one goes on."""
    ledgers = open_ledgers()
    live = ledgers.live
    done = back(ledgers, (1, 300), (301, 900), (901, 950))
    assert (done.state, done.first, done.last, done.lost) == ("restored", 1, 950, ())
    assert held(ledgers) == list(LOST.events)
    with ledgers.reader(LOST.id) as reader:
        assert reader.hash_at(950) == LOST.hashes[950]
        assert reader.chain(301, 700).marks[0] == LOST.hashes[400]
    assert ledgers.live == live
    ledgers = open_ledgers()
    status = next(one for one in ledgers.all() if one.id == LOST.id)
    assert (status.live, status.damaged, status.restored) == (False, False, True)


def test_what_it_holds_is_a_duplicate(open_ledgers: Open) -> None:
    """An event that comes again is not stored again, at once and after a restart."""
    ledgers = open_ledgers()
    back(ledgers, (1, 950))
    again = events.parse(LOST.events[7])
    assert ledgers.writer.append_and_wait(again) == [False]
    assert open_ledgers().writer.append_and_wait(again) == [False]


def test_again_changes_nothing(open_ledgers: Open) -> None:
    """The same restore is answered that all is there."""
    ledgers = open_ledgers()
    back(ledgers, (1, 950))
    done = back(ledgers, (1, 950))
    assert (done.state, done.last) == ("present", 950)
    assert len(ledgers.all()) == 2


def test_the_live_ledger_is_not_touched(open_ledgers: Open) -> None:
    """A backup of the live ledger is refused."""
    ledgers = open_ledgers()
    live = Origin(ledgers.live, NOW, "c", "z")
    with pytest.raises(Conflict, match="live"):
        restore(ledgers, live, [], NOW)


@pytest.mark.parametrize("name", ["../../etc", "", "UPPER", "0b6f1c9e5d0e4c1b9d5e2f6a3e1b7c11"])
def test_only_ids_name_ledgers(open_ledgers: Open, name: str) -> None:
    """No path gets through where an id belongs."""
    with pytest.raises(InvalidInput, match="id"):
        restore(open_ledgers(), Origin(name, NOW, "c", "z"), [], NOW)


def test_an_altered_package_brings_nothing_back(open_ledgers: Open) -> None:
    """One flipped byte of what is signed, and the data folder is as it was."""
    ledgers = open_ledgers()
    plain = bytearray(LOST.plain(301, 950, period=None))
    before = sorted(ledgers.folder.rglob("*"))
    for place in range(200, len(plain), len(plain) // 9):
        plain[place] ^= 1
        broken = Part("broken", io.BytesIO(bytes(plain)), NOW)
        with pytest.raises(InvalidInput):
            restore(ledgers, origin(), [part(1, 300), broken], NOW)
        plain[place] ^= 1
    assert sorted(ledgers.folder.rglob("*")) == before


def test_packages_of_another_ledger_are_refused(open_ledgers: Open) -> None:
    """Also one that has the same id and other events."""
    other = made.ledger(100, id="11111111-5d0e-4c1b-9d5e-2f6a3e1b7c11")
    with pytest.raises(InvalidInput, match="no positions of ledger"):
        restore(open_ledgers(), origin(), [part(1, 100, other)], NOW)
    forged = made.Ledger([made.event(f"x{n}") for n in range(950)])
    with pytest.raises(InvalidInput, match="does not join"):
        restore(open_ledgers(), origin(), [part(1, 300), part(301, 950, forged)], NOW)


def test_a_hole_is_named_and_the_rest_comes_back(open_ledgers: Open) -> None:
    """Positions behind a missing package are there, proven from the next hundred on."""
    ledgers = open_ledgers()
    done = back(ledgers, (1, 300), (501, 950), cuts=[cut("2026-09", 1, 1000)])
    assert done.lost == ((301, 500), (951, 1000))
    status = next(one for one in ledgers.all() if one.id == LOST.id)
    assert status.damaged
    assert status.lost == done.lost
    assert "301 to 500" in (status.problem or "")
    with ledgers.reader(LOST.id) as reader:
        assert list(reader.events(501, 950)) == LOST.events[500:]
        assert reader.chain(501, 950).before == LOST.hashes[500]


def test_one_that_was_purged_begins_where_its_backup_does(open_ledgers: Open) -> None:
    """A backup that let its oldest packages go restores the rest."""
    ledgers = open_ledgers()
    assert back(ledgers, (401, 950)).first == 401
    with ledgers.reader(LOST.id) as reader:
        assert reader.bounds() == (401, 950)
        assert reader.hash_at(400) == LOST.hashes[400]


def test_packages_that_the_chain_cannot_take_up_are_refused(open_ledgers: Open) -> None:
    """Between hundreds the chain of a hole is not known; the remedy says what to give."""
    with pytest.raises(InvalidInput, match="behind a hundred"):
        back(open_ledgers(), (1, 300), (450, 950))


def test_packages_that_overlap_are_compared(open_ledgers: Open) -> None:
    """The same positions from two places are taken once, if they are the same."""
    ledgers = open_ledgers()
    back(ledgers, (1, 300), (201, 950), (1, 950))
    assert held(ledgers) == list(LOST.events)


def test_delivered_periods_stay_delivered(open_ledgers: Open) -> None:
    """Cuts and receipts come back; what is behind them is in the next cut."""
    ledgers = open_ledgers()
    done = back(ledgers, (1, 950), cuts=[cut("2026-09", 1, 700, "sent")])
    assert done.periods == ("2026-09",)
    assert ledgers.cuts.end(LOST.id) == 700
    assert ledgers.sent_to(LOST.id) == 700


def test_what_its_heir_delivers_since_is_sent_too(open_ledgers: Open) -> None:
    """The files of before have one collector's name, those of since another's."""
    ledgers = open_ledgers()
    back(ledgers, (1, 950), cuts=[cut("2026-09", 1, 700, "sent")])
    export.cut(ledgers, Period(2026, 10), LIMITS, NOW)
    name = f"usage-heir-{LOST.id[:8]}-701-950.json.gz"
    export.receive(ledgers, Period(2026, 10), "sent", "someone", [ReceiptFile(name, "0" * 64)], NOW)
    assert ledgers.sent_to(LOST.id) == 950


def test_what_was_in_no_period_is_in_the_next_once_it_came_back(open_ledgers: Open) -> None:
    """Positions that could not be read when they were to be cut are cut now, and only once."""
    ledgers = open_ledgers()
    hurt = cut("2026-09", 1, 300, "sent")
    hurt = structs.replace(hurt, ends={LOST.id: 700})
    back(ledgers, (1, 950), cuts=[hurt])
    assert unreported(ledgers.cuts.all(), LOST.id) == [(301, 700)]
    assert ledgers.sent_to(LOST.id) == 300
    made_now = export.cut(ledgers, Period(2026, 10), LIMITS, NOW)
    runs = [(file.first, file.last) for file in made_now.files if file.ledger == LOST.id]
    assert runs == [(301, 700), (701, 950)]
    assert unreported(ledgers.cuts.all(), LOST.id) == []
    assert ledgers.sent_to(LOST.id) == 300
    assert export.cut(ledgers, Period(2026, 11), LIMITS, NOW + 31 * 86_400_000_000).files == []


def test_a_cut_that_was_made_meanwhile_keeps_its_own(open_ledgers: Open) -> None:
    """The files of both ledgers are in the period, each once, and both receipts."""
    ledgers = open_ledgers()
    own = Cut("2026-09", NOW, LIMITS, {ledgers.live: 5}, [CutFile(ledgers.live, 1, 5, 5, 5, 0.0)])
    ledgers.cuts.save(own)
    for _ in range(2):
        back(ledgers, (1, 950), cuts=[cut("2026-09", 1, 700, "sent")])
        merged = ledgers.cuts.get("2026-09")
        assert merged
        assert merged.ends == {ledgers.live: 5, LOST.id: 700}
        assert [file.ledger for file in merged.files] == [LOST.id, ledgers.live]
        assert [one.state for one in merged.receipts] == ["sent"]


def test_a_full_disk_is_left_to_the_events_that_come() -> None:
    """Where there is no room for it nothing comes back, and events are stored as before."""
    with (
        disks.memory(4 * 2**20) as folder,
        closing(Ledgers(folder, "collector-0", "eu-1a", lambda: NOW)) as ledgers,
    ):
        (folder / "filler").write_bytes(bytes(7 * 2**19))
        with pytest.raises(StorageUnavailable, match="no room"):
            back(ledgers, (1, 950))
        assert [one.live for one in ledgers.all()] == [True]
        assert not list(ledgers.catalog.folder.glob(".*"))
        assert ledgers.writer.append_and_wait(events.parse(made.event("x"))) == [True]
        (folder / "filler").unlink()
        assert back(ledgers, (1, 950)).last == 950


def test_a_damaged_ledger_is_completed(open_ledgers: Open) -> None:
    """What the backup lacks is read from the damaged ledger, whose files stay."""
    ledgers = open_ledgers()
    hurt = ledgers.live
    stored = [made.event(f"e{n}") for n in range(1, 951)]
    for start in range(0, 950, 50):
        batch = [events.read(raw) for raw in stored[start : start + 50]]
        ledgers.writer.append_and_wait(batch)
    ledgers.flush_head()
    original = made.Ledger(stored, id=hurt, collector="collector-0")
    spoil(ledgers, 51, 801)
    with ledgers.reader(hurt) as reader, pytest.raises(Exception, match="block"):
        list(reader.events(1, 950))
    ledgers = open_ledgers()
    assert ledgers.live != hurt
    packages = [part(1, 600, original)]
    done = restore(ledgers, Origin(hurt, NOW, "collector-0", "eu-1a"), packages, NOW)
    assert done.state == "completed"
    assert done.came_back == ((1, 600),)
    assert done.salvaged == ((601, 800), (901, 950))
    assert done.lost == ((801, 900),)
    problem = next(one.problem for one in ledgers.all() if one.id == hurt)
    assert problem == (
        "positions 1 to 600 came back from a backup; positions 601 to 800, 901 to 950 were read "
        "from the damaged files; positions 801 to 900 are lost for good"
    )
    with ledgers.reader(hurt) as reader:
        assert list(reader.events(1, 800)) == stored[:800]
        assert list(reader.events(901, 950)) == stored[900:]
    assert (ledgers.catalog.path(hurt) / "events.db").exists()
    more = restore(ledgers, Origin(hurt, NOW, "collector-0", "eu-1a"),
                   [part(1, 950, original)], NOW)  # fmt: skip
    assert more.lost == ()
    status = next(one for one in open_ledgers().all() if one.id == hurt)
    # The damaged files told where it ended.
    assert (status.damaged, status.last, status.unsure) == (False, 950, False)
