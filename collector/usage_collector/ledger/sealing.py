"""Packing small blocks together, so that events that came one by one take no more room.

Positions, bytes and the chain stay what they are. ``sealed`` in ``meta`` is the position up to
which this is done, so that no event is packed more than twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from usage_collector.errors import Damaged
from usage_collector.ledger.blocks import MAX_BYTES, MAX_EVENTS, Load, Unpacker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import apsw

    from usage_collector.ledger.blocks import Packer
    from usage_collector.ledger.reader import Block, Reader

HOUR_US = 3_600_000_000
"""A block's time of receipt counts for all its events: those of different hours stay apart."""
_LOOK_AHEAD = 4 * MAX_EVENTS
_SPARE_PAGES, _PAGES_A_STEP = 16, 64


def runs(blocks: Iterable[Block], now: int) -> Iterator[list[Block]]:
    """Blocks that belong together, each run for one block; the last only once it is complete.

    Pure. A run is complete when what follows does not fit, or when its hour is over (``now``, µs).
    """
    run: list[Block] = []
    for block in blocks:
        if run and not _fits(run, block):
            yield run
            run = []
        run.append(block)
    if run and run[-1].received // HOUR_US < now // HOUR_US:
        yield run


def _fits(run: list[Block], block: Block) -> bool:
    return (
        run[0].received // HOUR_US == block.received // HOUR_US
        and sum(one.events for one in run) + block.events <= MAX_EVENTS
        and sum(one.size for one in run) + block.size <= MAX_BYTES
    )


def step(connection: apsw.Connection, reader: Reader, packer: Packer, now: int) -> bool:
    """Pack one run together, and pass over those before it; whether there may be more to do.

    Within a transaction of the caller's.
    """
    first, last = reader.bounds()
    first = max(reader.sealed() + 1, first)
    end = first - 1
    for run in runs(reader.blocks(first, min(last, end + _LOOK_AHEAD)), now):
        end = run[-1].first + run[-1].events - 1
        if len(run) > 1 and not _holds_untimed(reader, run):
            _pack(connection, reader, packer, run)
            break
    else:
        if end < first:
            return False
        _note(connection, end)
    return end < last


def _holds_untimed(reader: Reader, run: list[Block]) -> bool:
    """Whether an event has no time but that of its block, which is to stay exact then."""
    times = sorted(block.received for block in run)
    last = run[-1].first + run[-1].events - 1
    return reader.has_untimed(times[0], times[-1], run[0].first, last)


def _pack(connection: apsw.Connection, reader: Reader, packer: Packer, run: list[Block]) -> None:
    first, last = run[0].first, run[-1].first + run[-1].events - 1
    raws = list(reader.events(first, last))
    data = packer.pack(raws)
    if Unpacker().unpack(data, len(raws)) != raws:
        raise Damaged("a block does not give back what was packed", "look at the node's memory")
    load = sum((block.load for block in run), Load())
    row = (
        first, len(raws), max(block.received for block in run), sum(map(len, raws)),
        load.jobs, load.realtime_ms, data,
    )  # fmt: skip
    sql = "DELETE FROM blocks WHERE first BETWEEN ? AND ?"
    connection.execute(sql, (first, last)).fetchall()
    sql = "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, NULL, ?)"
    connection.execute(sql, row).fetchall()
    _note(connection, last)


def give_back(connection: apsw.Connection) -> None:
    """Give some of the room that is left over to the file system, if there is much of it."""
    if connection.pragma("freelist_count") > _SPARE_PAGES:
        connection.execute(f"PRAGMA incremental_vacuum({_PAGES_A_STEP})").fetchall()


def _note(connection: apsw.Connection, sealed: int) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('sealed', ?)", (sealed,)).fetchall()
