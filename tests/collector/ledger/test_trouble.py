"""What goes wrong around a ledger: crashes, lost files, damage, a disk without room."""

from __future__ import annotations

import asyncio
import random
import shutil
from typing import TYPE_CHECKING

import apsw
import pytest

from tests.collector.samples import array, event
from usage_collector import events
from usage_collector.errors import Damaged, NotFound, StorageUnavailable
from usage_collector.ledger import Cut, Ledgers, Limits, head_of, open_reader
from usage_collector.ledger.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _store(ledgers: Ledgers, raws: list[bytes]) -> list[bool]:
    return ledgers.writer.append_and_wait(events.parse(array(raws)))


def _crashed(ledgers: Ledgers, tmp_path: Path) -> Ledgers:
    """The ledgers as a process finds them after this one was killed now."""
    copy = tmp_path / "after-the-crash"
    shutil.copytree(ledgers.folder, copy)
    return Ledgers(copy, "collector-0", "eu-1a", lambda: 1)


def _live_folder(ledgers: Ledgers) -> Path:
    return ledgers.catalog.path(ledgers.live)


def _damage_table(database: Path, table: str) -> None:
    """Flip a bit in the root page of a table."""
    connection = apsw.Connection(str(database), vfs="cksmvfs")
    row = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,))
    page = int(str(next(row)[0])) - 1
    connection.close()
    data = bytearray(database.read_bytes())
    data[page * 4096 + 50] ^= 1
    database.write_bytes(data)


def test_the_head_knows_every_acknowledged_event_of_a_killed_process(
    open_ledgers: Callable[[], Ledgers], tmp_path: Path
) -> None:
    """However short before the kill an event was stored, losing the log afterwards is noticed."""
    open_ledgers()
    ledgers = open_ledgers()
    for number in range(3):
        _store(ledgers, [event(number)])
    old = ledgers.live
    copy = tmp_path / "copy"
    shutil.copytree(ledgers.folder, copy)
    (copy / "ledgers" / old / "events.db-wal").write_bytes(b"")
    after = Ledgers(copy, "collector-0", "eu-1a", lambda: 1)
    assert after.live != old
    assert "3 acknowledged events are lost" in (after.all()[0].problem or "")
    after.close()


def test_the_head_is_brought_up_to_date_at_the_start(
    open_ledgers: Callable[[], Ledgers], tmp_path: Path
) -> None:
    """A head that a crash left behind is flushed before anything else is stored."""
    ledgers = open_ledgers()
    _store(ledgers, [event(1)])
    behind = (_live_folder(ledgers) / "head").read_bytes()
    _store(ledgers, [event(2)])
    copy = tmp_path / "copy"
    shutil.copytree(ledgers.folder, copy)
    (copy / "ledgers" / ledgers.live / "head").write_bytes(behind)
    after = Ledgers(copy, "collector-0", "eu-1a", lambda: 1)
    head = head_of(_live_folder(after))
    assert head is not None
    assert head.position == 2
    after.close()


def test_an_end_before_that_of_a_cut_is_not_trusted(
    open_ledgers: Callable[[], Ledgers], tmp_path: Path
) -> None:
    """Even with a head that agrees, positions that belong to a period are never given again."""
    ledgers = open_ledgers()
    _store(ledgers, [event(1)])
    old = ledgers.live
    ledgers.cuts.save(Cut("2026-10", 1, Limits(18, 10, 10), {old: 7}, []))
    after = _crashed(ledgers, tmp_path)
    assert after.live != old
    assert "7" in (after.all()[0].problem or "")
    after.close()


def test_ending_while_someone_reads_is_clean(open_ledgers: Callable[[], Ledgers]) -> None:
    """A reader that holds its snapshot, as a check does, does not keep the writer from ending."""
    ledgers = open_ledgers()
    raws = [event(number) for number in range(3)]
    _store(ledgers, raws)
    with open_reader(_live_folder(ledgers), ledgers.live) as reader:
        reader.connection.execute("BEGIN")
        reader.bounds()
        _store(ledgers, [event(9)])
        ledgers.close()
    after = open_ledgers()
    assert after.all()[0].last == 4


def test_readiness_sets_a_damaged_ledger_aside(open_ledgers: Callable[[], Ledgers]) -> None:
    """Without any event coming, proving that a commit is possible gets to a ledger where it is."""
    ledgers = open_ledgers()
    _store(ledgers, [event(number) for number in range(50)])
    old = ledgers.live
    ledgers.writer.book.prove = _fail  # type: ignore[method-assign,assignment]
    asyncio.run(ledgers.prove(0))
    assert ledgers.live != old


def _fail(*_: object) -> None:
    raise Damaged("a page is damaged")


def test_without_room_for_a_new_ledger_events_are_refused_until_there_is(
    open_ledgers: Callable[[], Ledgers], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged ledger on a full disk: 503, nothing left lying about, and service afterwards."""
    ledgers = open_ledgers()
    _store(ledgers, [event(1)])
    old = ledgers.live
    ledgers.writer.book.append = _fail  # type: ignore[method-assign,assignment]
    create = Catalog.create

    def no_room(*_: object) -> None:
        raise StorageUnavailable("the disk is full")

    monkeypatch.setattr(Catalog, "create", no_room)
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            _store(ledgers, [event(2)])
    monkeypatch.setattr(Catalog, "create", create)
    assert _store(ledgers, [event(2)]) == [True]
    assert ledgers.live != old
    assert ledgers.all()[0].last == 1


def test_half_a_ledger_is_swept_away(open_ledgers: Callable[[], Ledgers]) -> None:
    """What a crash left of a ledger that was being made does not stay."""
    ledgers = open_ledgers()
    ledgers.close()
    half = ledgers.catalog.folder / ".new-x"
    half.mkdir()
    (half / "events.db").write_bytes(b"x")
    open_ledgers()
    assert not half.exists()


def test_an_event_of_a_closed_ledger_is_a_duplicate(open_ledgers: Callable[[], Ledgers]) -> None:
    """Sent again after a change of ledgers it gets no second position, if it can still be read."""
    raws = [event(number) for number in range(3)]
    ledgers = open_ledgers()
    _store(ledgers, raws)
    head = _live_folder(ledgers) / "head"
    ledgers.close()
    head.unlink()
    ledgers = open_ledgers()
    assert _store(ledgers, [raws[1], event(7)]) == [False, True]
    assert [status.last for status in ledgers.all()] == [3, 1]


def test_an_event_that_a_closed_ledger_cannot_give_back_is_stored(
    open_ledgers: Callable[[], Ledgers],
) -> None:
    """Knowing the id of an event is not having it."""
    raws = [event(number) for number in range(3)]
    ledgers = open_ledgers()
    _store(ledgers, raws)
    folder = _live_folder(ledgers)
    ledgers.close()
    (folder / "head").unlink()
    _damage_table(folder / "events.db", "blocks")
    ledgers = open_ledgers()
    assert _store(ledgers, raws) == [True, True, True]


@pytest.mark.parametrize("name", ["ledger.json", "events.db", "head"])
@pytest.mark.parametrize("how", ["missing", "empty", "noise"])
def test_a_lost_file_sets_the_ledger_aside(
    open_ledgers: Callable[[], Ledgers], name: str, how: str
) -> None:
    """The collector starts with a new ledger and says what happened to the old one."""
    ledgers = open_ledgers()
    _store(ledgers, [event(1)])
    old, file = ledgers.live, _live_folder(ledgers) / name
    began = ledgers.all()[0].began
    ledgers.close()
    if how == "missing":
        file.unlink()
    else:
        file.write_bytes(b"" if how == "empty" else b"\x07" * 5000)
    ledgers = open_ledgers()
    first, second = ledgers.all()
    assert (first.id, first.live, first.damaged) == (old, False, True)
    assert abs(first.began - began) < 366 * 86_400_000_000 or name != "ledger.json"
    assert second.live
    assert _store(ledgers, [event(2)]) == [True]


def test_only_the_newest_ledger_is_live(open_ledgers: Callable[[], Ledgers]) -> None:
    """A closed ledger does not come back to life when the note that it is closed is lost."""
    ledgers = open_ledgers()
    _store(ledgers, [event(1)])
    folder = _live_folder(ledgers)
    ledgers.close()
    (folder / "head").rename(folder / "head.away")
    ledgers = open_ledgers()
    newer = ledgers.live
    ledgers.close()
    (folder / "head.away").rename(folder / "head")
    (folder / "closed.json").unlink()
    ledgers = open_ledgers()
    assert ledgers.live == newer
    assert [status.live for status in ledgers.all()] == [False, True]
    assert ledgers.all()[0].damaged


def test_a_write_ahead_log_of_a_closed_ledger_does_not_grow(
    open_ledgers: Callable[[], Ledgers],
) -> None:
    """Purging a closed ledger gives its space back."""
    ledgers = open_ledgers()
    for start in range(0, 3000, 1000):
        numbers = range(start, start + 1000)
        _store(ledgers, [event(n, noise=random.Random(n).randbytes(100).hex()) for n in numbers])
    folder, old = _live_folder(ledgers), ledgers.live
    ledgers.close()
    (folder / "head").unlink()
    ledgers = open_ledgers()
    before = (folder / "events.db").stat().st_size
    ledgers.purge(old, 2900, 2900)
    assert (folder / "events.db").stat().st_size < before * 0.7
    assert (folder / "events.db-wal").stat().st_size == 0
    assert ledgers.all()[0].first == 2901


def test_large_events_are_read_a_few_at_a_time(open_ledgers: Callable[[], Ledgers]) -> None:
    """Blocks of single large events are not all held at once."""
    ledgers = open_ledgers()
    for number in range(24):
        _store(ledgers, [b'{"n":%d,"x":"%s"}' % (number, b"x" * 4_000_000)])
    with ledgers.reader() as reader:
        for position in range(1, 25):
            reader.event(position)
        assert reader.cached_bytes < 20_000_000


def test_reading_what_is_purged_meanwhile_is_no_damage(
    open_ledgers: Callable[[], Ledgers],
) -> None:
    """An export that the purge overtakes ends with an error, and no ledger is set aside for it."""
    ledgers = open_ledgers()
    for start in range(0, 1000, 200):
        noise = random.Random(start).randbytes(8000).hex()
        _store(ledgers, [event(start + n, noise=noise[: 40 * n]) for n in range(200)])
    live = ledgers.live
    with ledgers.reader() as reader:
        ledgers.purge(live, 900, 900)
        with pytest.raises(NotFound, match="901"):
            reader.event(500)
        with pytest.raises(NotFound, match="901"):
            reader.chain(301, 400)
    assert ledgers.live == live
    assert not ledgers.all()[0].damaged
