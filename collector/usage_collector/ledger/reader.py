"""Reading one ledger in short transactions, never more than some blocks in memory."""

from __future__ import annotations

import hashlib
import heapq
import json
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import apsw

from usage_collector.errors import Damaged, NotFound, UsageError
from usage_collector.ledger import sqlite
from usage_collector.ledger.blocks import Load, Unpacker
from usage_collector.ledger.index import entries
from usage_collector.packages import MARK_EVERY, Chain, genesis, link, marks_between

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_READ_BYTES = 1024 * 1024
"""What one reading of blocks stops after, so that large events do not pile up."""
_IDS_A_READ = 4096
_CACHED_BYTES = 8 * 1024 * 1024
_PACKED_OF = """
SELECT first, count, data FROM blocks WHERE first = (SELECT max(first) FROM blocks WHERE first <= ?)
"""
_BLOCK_OF = _PACKED_OF.replace(", data", "")
_END_OF_TIME = b"\xff" * 9


class Filed(NamedTuple):
    """Where an event stands in time (µs) and in the ledger, and its weight (`blocks.weight`)."""

    time: int
    position: int
    weight: int | None


class Block(NamedTuple):
    """What is known of some consecutive events without unpacking them; ``size`` in bytes."""

    first: int
    events: int
    received: int
    size: int
    load: Load


class Billed(NamedTuple):
    """A batch job or an ended session; ``duration`` in s, None when not known, ``time`` in µs."""

    identity: bytes
    ledger: str
    position: int
    duration: float | None
    time: int


class Reader:
    """One ledger through one connection; not to be shared between threads.

    ``note`` is told of whatever turns out to be damaged, beside the `Damaged` that is raised.
    Whoever gives one gets lost marks worked out again, so that the events can still be proven.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        ledger: str,
        note: Callable[[str], None] | None = None,
    ) -> None:
        self.connection = connection
        self.ledger = ledger
        self._salvages = note is not None
        self._note = note or (lambda _problem: None)
        self._unpacker = Unpacker()
        self._cached: dict[tuple[int, int], list[bytes]] = {}
        self.cached_bytes = 0
        self.blocks_a_read = _IDS_A_READ
        self._walk = (0, genesis(ledger))

    def close(self) -> None:
        """Give the connection back."""
        self.connection.close()

    def bounds(self) -> tuple[int, int]:
        """The first and last position kept; the first is one more than the last when empty."""
        purged = self._value("SELECT value FROM meta WHERE name = 'purged'")
        if not isinstance(purged, int):
            raise self._damaged("how far it was purged is not known")
        last = self._value("SELECT first + count - 1 FROM blocks ORDER BY first DESC LIMIT 1")
        return purged + 1, purged if last is None else last

    def purged_unsent(self) -> list[tuple[int, int]]:
        """Runs of positions, first and last, that were purged though they were not sent."""
        return self._pairs("SELECT value FROM meta WHERE name = 'purged_unsent'")

    def purged_receipts(self) -> list[tuple[int, int]]:
        """Purged positions, in order, with when (µs) those up to there were received at last."""
        return self._pairs("SELECT value FROM meta WHERE name = 'purged_receipts'")

    def hash_at(self, position: int) -> bytes:
        """h(position); cheap at any position, for the marks are stored."""
        base = position // MARK_EVERY * MARK_EVERY
        head = self.mark(base)
        for raw in self.events(base + 1, position):
            head = link(head, hashlib.sha256(raw).digest())
        return head

    def chain(self, first: int, last: int) -> Chain:
        """What ties these positions to the rest of the ledger."""
        try:
            marks = self._marks(first, last)
        except Damaged:
            marks = [self.mark(position) for position in marks_between(first, last)]
        return Chain(
            first=first,
            last=last,
            before=self.hash_at(first - 1),
            after=self.hash_at(last),
            marks=marks,
        )

    def events(self, first: int, last: int) -> Iterator[bytes]:
        """The bytes of these positions, in order."""
        position = first
        while position <= last:
            rows = self._packed(position, last)
            if not rows:
                raise self._missing(position, f"position {position} is missing")
            for start, count, data in rows:
                # Of a page that is only half there the rest reads as zeros and nothing at all.
                if not isinstance(data, bytes) or not start <= position < start + count:
                    raise self._missing(position, f"position {position} is missing")
                raws = self._unpack(data, count)
                yield from raws[position - start : last - start + 1]
                position = start + count

    def sealed(self) -> int:
        """Up to which position small blocks were packed together."""
        return int(self._value("SELECT value FROM meta WHERE name = 'sealed'") or 0)

    def has_untimed(self, since: int, until: int, first: int, last: int) -> bool:
        """Whether any of these positions, received between these times (µs), has no time."""
        sql = (
            "SELECT 1 FROM untimed WHERE received BETWEEN ? AND ? AND position BETWEEN ? AND ? "
            "LIMIT 1"
        )
        return self._value(sql, since, until, first, last) is not None

    def position_of(self, short_id: bytes) -> int | None:
        """Where the event with that id is, if it is filed."""
        position: int | None = self._value("SELECT position FROM ids WHERE id = ?", short_id)
        return position

    def event(self, position: int) -> bytes:
        """The bytes of one position; neighbours come cheap."""
        first, raws = self._block_of(position)
        if not 0 <= position - first < len(raws):
            raise self._missing(position, f"position {position} is missing")
        return raws[position - first]

    def blocks(self, first: int, last: int) -> Iterator[Block]:
        """The blocks that hold these positions, the first and last perhaps only in part."""
        position = first
        while position <= last:
            rows = self._rows(
                "SELECT first, count, received, size, jobs, realtime_ms FROM blocks "
                "WHERE first >= (SELECT max(first) FROM blocks WHERE first <= ?) "
                "AND first <= ? ORDER BY first LIMIT ?",
                position,
                last,
                self.blocks_a_read,
            )
            if not rows:
                raise self._missing(position, f"position {position} is missing")
            for start, count, received, size, jobs, realtime_ms in rows:
                if None in (count, received, size, jobs, realtime_ms):
                    raise self._damaged(f"the block of position {position} is empty")
                end = start + count
                # Blocks may have been packed together since the last of them was read.
                if first < position:
                    start = max(start, position)
                yield Block(start, end - start, received, size, Load(jobs, realtime_ms))
                position = end

    def page_problems(self) -> list[str]:
        """What SQLite finds wrong with its pages; reads all of them, and their checksums."""
        rows = self._rows("PRAGMA integrity_check(5)")
        return [text for (text,) in rows if text != "ok"]

    def indexed(self) -> int:
        """Up to which position every event is filed in the table of transport ids."""
        indexed = self._value("SELECT value FROM meta WHERE name = 'indexed'")
        if not isinstance(indexed, int):
            raise self._damaged("up to where it is indexed is not known")
        return indexed

    def count_ids(self, last: int) -> int:
        """How many transport ids are filed, up to that position."""
        return int(self._value("SELECT count(*) FROM ids WHERE position <= ?", last))

    def filed(self, since: int | None, until: int | None) -> Iterator[Filed]:
        """Every event of a window (µs, both inclusive) by time, then position."""
        indexed, last = self.indexed(), self.bounds()[1]
        return heapq.merge(
            self._timed(since, until, indexed),
            self._untimed(since, until),
            sorted(self._unfiled(since, until, indexed, last)),
        )

    def purged_identities(self, first: int, last: int) -> Iterator[Billed]:
        """Who was billed in positions whose events are purged."""
        position = first - 1
        while rows := self._rows(
            "SELECT position, identity, duration, time FROM identities "
            "WHERE position > ? AND position <= ? ORDER BY position LIMIT ?",
            position,
            last,
            _IDS_A_READ,
        ):
            for position, identity, duration, time in rows:
                yield Billed(identity, self.ledger, position, duration, time)

    def _unfiled(
        self, since: int | None, until: int | None, indexed: int, last: int
    ) -> Iterator[Filed]:
        for id_, position, weight in entries(self, max(indexed + 1, self.bounds()[0]), last):
            time = int.from_bytes(id_[:8], "big")
            if time and (since or 0) <= time and (until is None or time <= until):
                yield Filed(time, position, weight)

    def _timed(self, since: int | None, until: int | None, indexed: int) -> Iterator[Filed]:
        rows = self._ids(
            max(since or 1, 1).to_bytes(8, "big"),
            _END_OF_TIME if until is None else max(until + 1, 0).to_bytes(8, "big"),
        )
        for time, group in groupby(rows, key=lambda row: row[0][:8]):
            moment = int.from_bytes(time, "big")
            for _, position, weight in sorted(group, key=itemgetter(1)):
                if position <= indexed:
                    yield Filed(moment, position, weight)

    def _ids(self, lower: bytes, upper: bytes) -> Iterator[tuple[bytes, int, int | None]]:
        while True:
            rows = self._rows(
                "SELECT id, position, weight FROM ids WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
                lower,
                upper,
                _IDS_A_READ,
            )
            yield from rows
            if len(rows) < _IDS_A_READ:
                return
            lower = rows[-1][0] + b"\0"

    def _untimed(self, since: int | None, until: int | None) -> Iterator[Filed]:
        after = ((since or 0) - 1, 2**62)
        while True:
            rows = self._rows(
                "SELECT received, position, weight FROM untimed "
                "WHERE (received, position) > (?, ?) AND received <= ? "
                "ORDER BY received, position LIMIT ?",
                *after,
                2**62 if until is None else until,
                _IDS_A_READ,
            )
            yield from (Filed(*row) for row in rows)
            if len(rows) < _IDS_A_READ:
                return
            after = rows[-1][:2]

    def mark(self, position: int) -> bytes:
        """h() at a multiple of 100, as it was stored; worked out again where that is lost."""
        if position == 0:
            return genesis(self.ledger)
        try:
            mark = self._value("SELECT hash FROM marks WHERE position = ?", position)
            if not isinstance(mark, bytes):
                raise self._missing(position, f"the mark at {position} is missing")
        except Damaged:
            if not self._salvages or self.bounds()[0] > 1:
                raise
            return self._walked(position)
        return mark

    def _marks(self, first: int, last: int) -> list[bytes]:
        sql = "SELECT hash FROM marks WHERE position BETWEEN ? AND ? ORDER BY position"
        rows = self._rows(sql, first, last)
        if len(rows) != len(marks_between(first, last)):
            raise self._missing(first, f"marks between {first} and {last} are missing")
        return [mark for (mark,) in rows]

    def _walked(self, position: int) -> bytes:
        """h(position) from the very first event, or from where the last walk ended."""
        start, head = self._walk if self._walk[0] <= position else (0, genesis(self.ledger))
        for raw in self.events(start + 1, position):
            head = link(head, hashlib.sha256(raw).digest())
        self._walk = (position, head)
        return head

    def _block_of(self, position: int) -> tuple[int, list[bytes]]:
        """The first position of the block that may hold this one, and the block's events."""
        found = self._rows(_BLOCK_OF, position)
        if not found or tuple(found[0]) not in self._cached:
            # Small blocks may have been packed together since.
            found = self._rows(_PACKED_OF, position)
            for first, count, data in found:
                self._cached[first, count] = self._unpack(data, count)
                self.cached_bytes += sum(map(len, self._cached[first, count]))
        if not found:
            return 0, []
        # The last one used comes last; the others make room from the front.
        key = found[0][:2]
        raws = self._cached[key] = self._cached.pop(key)
        while self.cached_bytes > _CACHED_BYTES and len(self._cached) > 1:
            dropped = self._cached.pop(next(iter(self._cached)))
            self.cached_bytes -= sum(map(len, dropped))
        return key[0], raws

    def _packed(self, position: int, last: int) -> list[tuple[int, int, bytes]]:
        """Some blocks from that position on, whose transaction is over when this returns."""
        rows: list[Any] = []
        size = 0
        with self._watched():
            cursor = self.connection.execute(
                "SELECT first, count, data FROM blocks WHERE first >= "
                "(SELECT max(first) FROM blocks WHERE first <= ?) AND first <= ? ORDER BY first",
                (position, last),
            )
            try:
                for row in cursor:
                    rows.append(row)
                    size += len(row[2] or b"")
                    if size >= _READ_BYTES:
                        break
            except apsw.Error:
                # What was read before is good; whoever wants more gets to the error then.
                if not rows:
                    raise
            cursor.close(True)
        return rows

    def _unpack(self, data: bytes | None, count: int | None) -> list[bytes]:
        with self._watched():
            return self._unpacker.unpack(data or b"", count or 0)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            with sqlite.translated(f"ledger {self.ledger}"):
                yield
        except Damaged as error:
            self._note(str(error))
            raise

    def _pairs(self, sql: str) -> list[tuple[int, int]]:
        return [(first, second) for first, second in json.loads(self._value(sql) or "[]")]

    def _value(self, sql: str, *bindings: int | bytes) -> Any:
        rows = self._rows(sql, *bindings)
        return rows[0][0] if rows else None

    def _rows(self, sql: str, *bindings: int | bytes) -> list[Any]:
        with self._watched():
            return self.connection.execute(sql, bindings).fetchall()

    def _missing(self, position: int, what: str) -> UsageError:
        """The error for what should be there, unless it was purged since somebody asked for it."""
        first = self.bounds()[0]
        if position >= first - 1:
            return self._damaged(what)
        return NotFound(
            f"position {position} of ledger {self.ledger} is no longer kept",
            f"ask for positions from {first} on",
        )

    def _damaged(self, what: str) -> Damaged:
        self._note(what)
        return Damaged(
            f"ledger {self.ledger}: {what}", "see usage-collector check; restore a backup"
        )


def within(bounds: tuple[int, int], first: int, last: int, ledger: str) -> None:
    """Refuse positions that are not kept; `NotFound` names the range that is."""
    if bounds[0] <= first <= last <= bounds[1]:
        return
    kept = f"{bounds[0]} to {bounds[1]}" if bounds[0] <= bounds[1] else "nothing"
    raise NotFound(
        f"ledger {ledger} keeps positions {kept}, not {first} to {last}",
        "ask for positions within that range",
    )
