"""Removing a prefix of positions in steps so small that storing events hardly notices."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from usage_collector.ledger import sqlite
from usage_collector.ledger.identities import dated, of_event
from usage_collector.packages import MARK_EVERY

if TYPE_CHECKING:
    import apsw

    from usage_collector.ledger.reader import Reader

STEP = MARK_EVERY
"""Positions purged in one transaction."""
_PAGES = 64
_FORGET_ROWS = 500
_DAY_US = 86_400_000_000


def step(connection: apsw.Connection, reader: Reader, end: int, sent: int) -> bool:
    """Purge the next positions up to ``end``, a multiple of 100; whether any are left.

    Who was billed for them is kept; so is the chain's hash before the first that stays, and which
    of them were beyond ``sent``, for those are a gap in what was reported.
    """
    first = reader.bounds()[0]
    if first > end:
        return False
    last = min((first - 1) // STEP * STEP + STEP, end)
    found = list(dated(reader, first, last))
    ids = [(event.short_id,) for _, _, event in found]
    untimed = [(received, position) for position, received, event in found if event.time is None]
    identities = [of_event(reader.ledger, *one) for one in found]
    billed = [(b.position, b.identity, b.duration, b.time) for b in identities if b]
    with (
        sqlite.translated(f"ledger {reader.ledger}"),
        sqlite.transaction(connection, "IMMEDIATE"),
    ):
        connection.executemany("DELETE FROM ids WHERE id = ?", ids).fetchall()
        connection.executemany(
            "INSERT OR REPLACE INTO identities VALUES (?, ?, ?, ?)", billed
        ).fetchall()
        connection.executemany(
            "DELETE FROM untimed WHERE received = ? AND position = ?", untimed
        ).fetchall()
        # Without the first condition every block of the ledger would be looked at.
        connection.execute(
            "DELETE FROM blocks WHERE first <= ? AND first + count - 1 <= ?", (last, last)
        )
        connection.execute("DELETE FROM marks WHERE position < ?", (last,))
        connection.execute("UPDATE meta SET value = ? WHERE name = 'purged'", (last,))
        connection.execute("UPDATE meta SET value = max(value, ?) WHERE name = 'indexed'", (last,))
        _note_received(connection, reader, last, found[-1][1])
        if last > sent:
            _note_unsent(connection, reader, max(first, sent + 1), last)
        connection.execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()
    return last < end


def _note_unsent(connection: apsw.Connection, reader: Reader, first: int, last: int) -> None:
    gaps = reader.purged_unsent()
    if gaps and gaps[-1][1] == first - 1:
        first = gaps.pop()[0]
    _put(connection, "purged_unsent", [*gaps, (first, last)])


def _note_received(connection: apsw.Connection, reader: Reader, last: int, received: int) -> None:
    """Until when events up to ``last`` were received: one note a day tells when to forget them."""
    notes = reader.purged_receipts()
    if notes and notes[-1][1] // _DAY_US == received // _DAY_US:
        received = max(received, notes.pop()[1])
    _put(connection, "purged_receipts", [*notes, (last, received)])


def forget(connection: apsw.Connection, reader: Reader, before: int) -> bool:
    """Remove some billing identities received before that time (µs); whether more are left."""
    notes = reader.purged_receipts()
    old = [note for note in notes if note[1] < before]
    if not old:
        return False
    end = old[-1][0]
    with (
        sqlite.translated(f"ledger {reader.ledger}"),
        sqlite.transaction(connection, "IMMEDIATE"),
    ):
        connection.execute(
            "DELETE FROM identities WHERE position <= (SELECT max(position) FROM (SELECT "
            "position FROM identities WHERE position <= ? ORDER BY position LIMIT ?))",
            (end, _FORGET_ROWS),
        )
        more = connection.changes() == _FORGET_ROWS
        if not more:
            _put(connection, "purged_receipts", notes[len(old) :])
        connection.execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()
    return more


def _put(connection: apsw.Connection, name: str, value: object) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, json.dumps(value)))
