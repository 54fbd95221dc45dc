"""Small blocks packed together: less room, and not a byte, position or time of receipt else."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from tests.bench import room
from tests.collector.samples import array, event
from usage_collector import events
from usage_collector.ledger import Block, Ledgers, Load
from usage_collector.ledger.blocks import MAX_BYTES, MAX_EVENTS
from usage_collector.ledger.sealing import HOUR_US, runs
from usage_collector.upkeep import check

if TYPE_CHECKING:
    from pathlib import Path

NOON = 1_790_942_400_000_000


@given(
    st.lists(
        st.tuples(st.integers(1, MAX_EVENTS), st.integers(1, MAX_BYTES), st.integers(0, 3)),
        max_size=30,
    ),
    st.integers(0, 4),
)
def test_runs_are_all_blocks_in_order_and_each_fits_into_one(
    shapes: list[tuple[int, int, int]], now: int
) -> None:
    """Only the last may be left for later; hours stay apart, and neighbours would not fit."""
    blocks, first = [], 1
    for count, size, hour in shapes:
        blocks.append(Block(first, count, hour * HOUR_US, size, Load()))
        first += count
    found = list(runs(blocks, now * HOUR_US))
    flat = [block for run in found for block in run]
    assert flat == blocks[: len(flat)]
    left = blocks[len(flat) :]
    assert all(block.received >= now * HOUR_US for block in left)
    for run in [*found, left]:
        assert len({block.received for block in run}) <= 1
        assert len(run) < 2 or sum(block.events for block in run) <= MAX_EVENTS
        assert len(run) < 2 or sum(block.size for block in run) <= MAX_BYTES
    for run, following in itertools.pairwise(found):
        joined = [*run, following[0]]
        assert (
            run[0].received != following[0].received
            or sum(block.events for block in joined) > MAX_EVENTS
            or sum(block.size for block in joined) > MAX_BYTES
        )


def _singles(ledgers: Ledgers, now: list[int], count: int) -> list[bytes]:
    raws = []
    for number in range(count):
        raws.append(event(number, noise="x" * 400))
        ledgers.writer.append_and_wait(events.parse(array(raws[-1:])))
        now[0] += 1_000_000
    return raws


def test_events_that_came_one_by_one_take_as_little_room_as_others(tmp_path: Path) -> None:
    """After sealing a block holds many; bytes, chain and a reader's cache are right throughout."""
    now = [NOON]
    ledgers = Ledgers(tmp_path, "c", "z", lambda: now[0])
    raws = _singles(ledgers, now, 700)
    with ledgers.reader() as reader:
        before = reader.hash_at(700)
        assert reader.event(300) == raws[299]
        ledgers.writer.call(lambda book: book.seal(now[0] + HOUR_US, 10)).result()
        assert [reader.event(p) for p in range(295, 305)] == raws[294:304]
        blocks = list(reader.blocks(1, 700))
        assert len(blocks) == -(-700 // MAX_EVENTS)
        assert all(0 <= now[0] - block.received <= 700_000_000 for block in blocks)
        assert sum(block.load.jobs for block in blocks) == 700
        assert list(reader.events(1, 700)) == raws
        assert reader.hash_at(700) == before
    ledgers.close()
    assert not check(tmp_path, lambda *_: None).findings


def test_events_at_rest_take_at_most_150_bytes() -> None:
    """Stored one by one, 1 kB each as received; tests/bench/room.py measures many more."""
    plain, _, rest = room.measure(4500, 1)
    assert 950 < plain < 1050
    assert rest <= 150


def test_blocks_read_while_they_are_sealed_hold_each_position_once(tmp_path: Path) -> None:
    """A reader in the middle of many blocks goes on behind the last, whatever became of them."""
    now = [NOON]
    ledgers = Ledgers(tmp_path, "c", "z", lambda: now[0])
    _singles(ledgers, now, 200)
    with ledgers.reader() as reader:
        reader.blocks_a_read = 50
        reading = reader.blocks(1, 200)
        seen = [next(reading) for _ in range(30)]
        ledgers.writer.call(lambda book: book.seal(now[0] + HOUR_US, 10)).result()
        seen += reading
    at = 1
    for block in seen:
        assert block.first == at
        at += block.events
    assert at == 201
    ledgers.close()


def test_events_without_a_time_keep_that_of_their_receipt(tmp_path: Path) -> None:
    """They are found by it and billed by it, so their blocks are left as they are."""
    now = [NOON]
    ledgers = Ledgers(tmp_path, "c", "z", lambda: now[0])
    for number in range(300):
        raw = event(session_id=str(number), time_stamp=None) if number == 150 else event(number)
        ledgers.writer.append_and_wait(events.parse(raw))
        now[0] += 1_000_000
    ledgers.writer.call(lambda book: book.seal(now[0] + HOUR_US, 10)).result()
    with ledgers.reader() as reader:
        blocks = list(reader.blocks(1, 300))
        assert [b.received for b in blocks if b.first == 151] == [NOON + 150_000_000]
        assert len(blocks) > MAX_EVENTS
    ledgers.close()
