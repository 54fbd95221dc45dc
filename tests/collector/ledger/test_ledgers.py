"""Ledgers: every event once, in order, in a chain, and none lost in silence."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
from typing import TYPE_CHECKING

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.collector.samples import array, event
from usage_collector import events
from usage_collector.errors import Damaged, NotFound
from usage_collector.ledger import Ledgers, within
from usage_collector.packages import genesis

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _store(ledgers: Ledgers, raws: list[bytes]) -> list[bool]:
    return ledgers.writer.append_and_wait(events.parse(array(raws)))


def _all(ledgers: Ledgers, ledger: str | None = None) -> list[bytes]:
    with ledgers.reader(ledger) as reader:
        first, last = reader.bounds()
        return list(reader.events(first, last))


def _folder(ledgers: Ledgers) -> Path:
    return ledgers.catalog.path(ledgers.live)


def _checkpointed(ledgers: Ledgers) -> Path:
    """The live ledger's folder after a clean end, which leaves nothing in the log."""
    folder = _folder(ledgers)
    ledgers.close()
    assert (folder / "events.db-wal").stat().st_size == 0
    return folder


def _problems(ledgers: Ledgers, ledger: str) -> list[str]:
    try:
        with ledgers.reader(ledger) as reader:
            return reader.page_problems()
    except Damaged as error:
        return [str(error)]


def test_events_get_positions_in_order_and_survive_a_restart(
    open_ledgers: Callable[[], Ledgers],
) -> None:
    """Positions count from 1 without a gap, and bytes come back as they were."""
    raws = [event(i) for i in range(300)]
    ledgers = open_ledgers()
    assert all(_store(ledgers, raws[:120]))
    assert all(_store(ledgers, raws[120:]))
    ledger = ledgers.live
    ledgers = open_ledgers()
    assert ledgers.live == ledger
    assert _all(ledgers) == raws
    status = ledgers.all()[0]
    assert (status.first, status.last, status.live) == (1, 300, True)


def test_duplicates_get_no_position(open_ledgers: Callable[[], Ledgers]) -> None:
    """Within a request, between requests and after a restart, the same event counts once."""
    raws = [event(i) for i in range(3)]
    ledgers = open_ledgers()
    assert _store(ledgers, [raws[0], raws[0], raws[1]]) == [True, False, True]
    ledgers = open_ledgers()
    assert _store(ledgers, [raws[1], raws[2]]) == [False, True]
    assert _all(ledgers) == raws


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(st.integers(0, 400), max_size=150), min_size=1, max_size=4), st.data())
def test_the_chain_of_any_range_is_that_of_its_definition(
    tmp_path_factory: pytest.TempPathFactory, requests: list[list[int]], data: st.DataObject
) -> None:
    """before, after and marks equal hashing every event from the beginning."""
    ledgers = Ledgers(tmp_path_factory.mktemp("chain"), "c", "z", lambda: 1)
    kept: list[bytes] = []
    for request in requests:
        raws = [b'{"n":%d}' % number for number in request]
        kept += dict.fromkeys(raw for raw in raws if raw not in kept)
        _store(ledgers, raws)
    hashes = [genesis(ledgers.live)]
    for raw in kept:
        hashes.append(hashlib.sha256(hashes[-1] + hashlib.sha256(raw).digest()).digest())
    if kept:
        first = data.draw(st.integers(1, len(kept)))
        last = data.draw(st.integers(first, len(kept)))
        with ledgers.reader() as reader:
            chain = reader.chain(first, last)
            assert (chain.before, chain.after) == (hashes[first - 1], hashes[last])
            marks = [hashes[n] for n in range(first, last + 1) if n % 100 == 0]
            assert list(chain.marks) == marks
            assert list(reader.events(first, last)) == kept[first - 1 : last]
            assert reader.event(first) == kept[first - 1]
    ledgers.close()


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.integers(1, 30) | st.none(), min_size=1, max_size=60),
    st.none() | st.integers(0, 31),
    st.none() | st.integers(0, 31),
)
def test_windows_hold_what_lies_between_in_order(
    tmp_path_factory: pytest.TempPathFactory,
    seconds: list[int | None],
    since: int | None,
    until: int | None,
) -> None:
    """Events without a time are filed under their receipt, all by time and then position."""
    received = 15_000_000
    ledgers = Ledgers(tmp_path_factory.mktemp("window"), "c", "z", lambda: received)
    raws = [
        b'{"i":%d,"time_stamp":"1970-01-01T00:00:%02dZ"}' % (i, second)
        if second
        else b'{"i":%d}' % i
        for i, second in enumerate(seconds)
    ]
    _store(ledgers, raws)
    times = [(second or 15) * 10**6 for second in seconds]
    low = None if since is None else since * 10**6
    high = None if until is None else until * 10**6
    expected = sorted(
        (time, position)
        for position, time in enumerate(times, 1)
        if (low is None or time >= low) and (high is None or time <= high)
    )
    with ledgers.reader() as reader:
        found = [(filed.time, filed.position) for filed in reader.filed(low, high)]
    assert found == expected
    ledgers.close()


def test_a_ledger_behind_its_head_is_closed_and_a_new_one_begins(
    open_ledgers: Callable[[], Ledgers], tmp_path: Path
) -> None:
    """When the end is lost, nothing goes on as if it was not; no file is removed."""
    ledgers = open_ledgers()
    _store(ledgers, [event(i) for i in range(10)])
    old = ledgers.live
    folder = _checkpointed(ledgers)
    kept = folder / "events.db"
    shutil.copy(kept, tmp_path / "earlier.db")
    ledgers = open_ledgers()
    assert ledgers.live == old
    _store(ledgers, [event(i) for i in range(10)])
    _checkpointed(ledgers)
    shutil.copy(tmp_path / "earlier.db", kept)
    ledgers = open_ledgers()
    assert ledgers.live != old
    statuses = {status.id: status for status in ledgers.all()}
    assert statuses[old].damaged
    assert "10 acknowledged events are lost" in (statuses[old].problem or "")
    assert len(_all(ledgers, old)) == 10
    assert all(_store(ledgers, [event()]))


def test_a_missing_head_is_not_trusted(open_ledgers: Callable[[], Ledgers]) -> None:
    """Without a head nobody knows whether the end is there: a new ledger begins."""
    ledgers = open_ledgers()
    _store(ledgers, [event()])
    old, head = ledgers.live, _folder(ledgers) / "head"
    ledgers.close()
    head.unlink()
    assert open_ledgers().live != old


def test_a_torn_head_leaves_the_slot_before(open_ledgers: Callable[[], Ledgers]) -> None:
    """Half of the head file is enough."""
    ledgers = open_ledgers()
    _store(ledgers, [event()])
    old, head = ledgers.live, _folder(ledgers) / "head"
    ledgers.close()
    data = bytearray(head.read_bytes())
    data[:100] = b"x" * 100
    head.write_bytes(data)
    assert open_ledgers().live == old


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_flipped_bit_is_refused_and_never_served(
    open_ledgers: Callable[[], Ledgers], share: float
) -> None:
    """Page checksums are on: a changed byte gives an error or the right answer, never a wrong."""
    raws = [event(i) for i in range(2000)]
    ledgers = open_ledgers()
    for start in range(0, 2000, 500):
        _store(ledgers, raws[start : start + 500])
    old = ledgers.live
    database = _checkpointed(ledgers) / "events.db"
    data = bytearray(database.read_bytes())
    assert data[20] == 8, "eight bytes of each page are reserved for its checksum"
    data[int(len(data) * share)] ^= 1
    database.write_bytes(data)
    ledgers = open_ledgers()
    assert _problems(ledgers, old)
    with contextlib.suppress(Damaged):
        assert _all(ledgers, old) == raws
    assert all(_store(ledgers, [event()]))


def test_damage_while_running_closes_the_ledger_and_storing_goes_on(
    open_ledgers: Callable[[], Ledgers],
) -> None:
    """A writer that meets a damaged page sets the ledger aside and acknowledges into a new one."""
    ledgers = open_ledgers()
    _store(ledgers, [event(i) for i in range(1000)])
    old = ledgers.live
    database = _checkpointed(ledgers) / "events.db"
    data = bytearray(database.read_bytes())
    connection = apsw.Connection(str(database), vfs="cksmvfs")
    sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'untimed'"
    root = connection.execute(sql).fetchone()
    connection.close()
    assert root
    data[(int(str(root[0])) - 1) * 4096 + 50] ^= 1
    database.write_bytes(data)
    ledgers = open_ledgers()
    assert ledgers.live == old, "the end is intact, so opening does not notice"
    assert _store(ledgers, [event(time_stamp=None)]) == [True]
    assert ledgers.live != old
    assert [status.damaged for status in ledgers.all()] == [True, False]


def test_ranges_outside_name_what_is_kept() -> None:
    """Asking for what is not there tells what is."""
    within((5, 9), 5, 9, "l")
    for first, last in ((4, 9), (5, 10), (10, 12)):
        with pytest.raises(NotFound, match="5 to 9"):
            within((5, 9), first, last, "l")


def test_an_unknown_ledger_is_not_found(open_ledgers: Callable[[], Ledgers]) -> None:
    """A ledger id from outside never becomes a path."""
    ledgers = open_ledgers()
    with pytest.raises(NotFound), ledgers.reader("../../etc"):
        pass


def test_proving_a_commit_works_when_nothing_was_stored(
    open_ledgers: Callable[[], Ledgers],
) -> None:
    """Readiness can be proven by a commit of its own."""
    asyncio.run(open_ledgers().prove(0))
