"""The live ledger as its one writer sees it: appending, and knowing where it ends."""

from __future__ import annotations

import time as clock_time
from contextlib import suppress
from itertools import compress, islice
from typing import TYPE_CHECKING, Any, NamedTuple

import apsw

from usage_collector.errors import Damaged, StorageUnavailable, UsageError
from usage_collector.ledger import blocks, schema, sealing, sqlite
from usage_collector.ledger import head as heads
from usage_collector.ledger.index import Index
from usage_collector.ledger.reader import Reader
from usage_collector.packages import MARK_EVERY, genesis, link
from usage_collector.words import many

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from usage_collector.events import Event
    from usage_collector.ledger.earlier import Earlier

DATABASE = "events.db"
HEAD = "head"
CHECKPOINT_PAGES = 1000

_FILE_EVENTS = 2000
_INSERT_BLOCK = "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, NULL, ?)"


class Tail(NamedTuple):
    """The last position and h() there."""

    position: int
    hash: bytes


def create(folder: Path, ledger: str, began: int) -> None:
    """Fill an empty folder with a new ledger; ``began`` in µs."""
    sqlite.create(folder / DATABASE, schema.SQL)
    connection = sqlite.open_writer(folder / DATABASE)
    try:
        with sqlite.translated(ledger), sqlite.transaction(connection, "IMMEDIATE"):
            connection.executemany(
                "INSERT INTO meta VALUES (?, ?)",
                [
                    ("format", schema.FORMAT),
                    ("ledger", ledger),
                    ("began", began),
                    ("purged", 0),
                    ("proven", 0),
                    ("indexed", 0),
                ],
            ).fetchall()
    finally:
        connection.close()
    heads.create(folder / HEAD, heads.Head(ledger, 0, genesis(ledger)))


def began(folder: Path) -> int:
    """When (µs) the ledger in that folder began, as well as can still be told."""
    with suppress(UsageError), sqlite.translated(folder.name):
        connection = sqlite.open_reader(folder / DATABASE)
        try:
            rows: list[Any] = connection.execute(
                "SELECT value FROM meta WHERE name = 'began'"
            ).fetchall()
        finally:
            connection.close()
        if rows and isinstance(rows[0][0], int):
            return rows[0][0]
    return min(path.stat().st_mtime_ns for path in [folder, *folder.iterdir()]) // 1000


class Book:
    """The writer's side of one ledger; used by one thread.

    Opening it proves that its end is there: `Damaged` when the head outside says otherwise, or
    when it ends before ``cut``, the last position that belongs to a period. What ``earlier``
    ledgers hold is a duplicate here too.
    """

    def __init__(self, folder: Path, ledger: str, cut: int, earlier: Earlier) -> None:
        self.ledger = ledger
        self.earlier = earlier
        with sqlite.translated(f"ledger {ledger}"):
            self.connection = sqlite.open_writer(folder / DATABASE)
        try:
            self.reader = Reader(self.connection, ledger)
            self._check_format()
            position = self.reader.bounds()[1]
            self.tail = Tail(position, self.reader.hash_at(position))
            self._check_head(heads.read(folder / HEAD))
            self._check_end(cut, "belong to a period")
            self._check_size(folder / DATABASE)
            with sqlite.translated(f"ledger {ledger}"):
                self._index = Index(self.connection, self.reader, position)
            self._head = heads.HeadFile(folder / HEAD, ledger)
        except BaseException:
            self.connection.close()
            raise
        # A crash leaves the head behind, and nothing else may be lost before it is right again.
        with suppress(StorageUnavailable):
            self.flush_head()
        self._head_at = clock_time.monotonic()
        self._packer = blocks.Packer()
        self._log_pages = 0
        self.connection.set_wal_hook(self._note_log)

    def append(self, requests: Sequence[Sequence[Event]], now: int) -> list[list[bool]]:
        """Store what is new of these requests in one transaction, durable on return.

        Answers for each request which of its events were new. ``now`` is the receipt time, µs.
        """
        with (
            sqlite.translated(f"ledger {self.ledger}"),
            sqlite.transaction(self.connection, "IMMEDIATE"),
        ):
            answers, ids, fresh = self._sift(requests)
            weights = [blocks.weight(event) for event in fresh]
            tail = self._store(fresh, weights, now)
            # Twice as many as come, so that this is over before as many wait again.
            self._index.file(2 * len(fresh))
        self._index.committed(ids, weights)
        self.tail = tail
        if fresh:
            self._head.note(heads.Head(self.ledger, *tail))
        return answers

    def file_ids(self, *, all_: bool = False) -> None:
        """File some events in the index by time, if it is time for that, or all of them."""
        more = True
        while more:
            with (
                sqlite.translated(f"ledger {self.ledger}"),
                sqlite.transaction(self.connection, "IMMEDIATE"),
            ):
                more = self._index.file(_FILE_EVENTS, all_=all_) and all_
            self._index.committed()

    def seal(self, now: int, seconds: float) -> None:
        """Pack small blocks together, for about that long; ``now`` in µs."""
        end = clock_time.monotonic() + seconds
        with sqlite.translated(f"ledger {self.ledger}"):
            with sqlite.transaction(self.connection, "IMMEDIATE"):
                while sealing.step(self.connection, self.reader, self._packer, now):
                    if clock_time.monotonic() >= end:
                        return
            sealing.give_back(self.connection)

    def prove(self, now: int) -> None:
        """Commit something small."""
        with (
            sqlite.translated(f"ledger {self.ledger}"),
            sqlite.transaction(self.connection, "IMMEDIATE"),
        ):
            self.connection.execute("UPDATE meta SET value = ? WHERE name = 'proven'", (now,))

    def flush_head(self) -> None:
        """Make the head say where the ledger ends.

        Raises:
            StorageUnavailable: a disk that copies on write is full.
            OSError: anything else.
        """
        try:
            if self._head.flushed.position != self.tail.position:
                self._head.flush(heads.Head(self.ledger, *self.tail))
        finally:
            self._head_at = clock_time.monotonic()

    @property
    def head_age(self) -> float | None:
        """Seconds since the head was flushed; None when it is up to date."""
        if self._head.flushed.position == self.tail.position:
            return None
        return clock_time.monotonic() - self._head_at

    def checkpoint(self, *, now: bool = False) -> None:
        """Move the log into the database when it has grown, or ``now``, and empty it then."""
        if now:
            sqlite.empty_log(self.connection, f"ledger {self.ledger}")
        elif self._log_pages >= CHECKPOINT_PAGES:
            self._log_pages = 0
            with (
                sqlite.translated(f"ledger {self.ledger}"),
                sqlite.read_only_told(self.connection),
            ):
                self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def close(self) -> None:
        """Give the files back; what was appended is safe already."""
        self._head.close()
        self.earlier.close()
        self.connection.close()

    def _sift(
        self, requests: Sequence[Sequence[Event]]
    ) -> tuple[list[list[bool]], list[bytes], list[Event]]:
        """For each request which of its events are new; the ids of all that are, and they."""
        asked = [event for events in requests for event in events]
        ids = [event.short_id for event in asked]
        known = self._index.known(ids)
        if not known and not self.earlier and len(set(ids)) == len(ids):
            return [[True] * len(events) for events in requests], ids, asked
        new = []
        for id_, event in zip(ids, asked, strict=True):
            new.append(id_ not in known and not (self.earlier and self.earlier.hold(event)))
            known.add(id_)
        rest = iter(new)
        answers = [list(islice(rest, len(events))) for events in requests]
        return answers, list(compress(ids, new)), list(compress(asked, new))

    def _store(self, fresh: Sequence[Event], weights: Sequence[int | None], now: int) -> Tail:
        position, head = self.tail
        first = start = position + 1
        marks, untimed = [], []
        for event in fresh:
            position += 1
            head = link(head, event.digest)
            if position % MARK_EVERY == 0:
                marks.append((position, head))
            if event.time is None:
                untimed.append((now, position, weights[position - first]))
        for chunk in blocks.chunks(fresh):
            weighed = weights[start - first : start - first + len(chunk)]
            self.connection.execute(_INSERT_BLOCK, self._row(chunk, weighed, start, now))
            start += len(chunk)
        if marks:
            self.connection.executemany("INSERT INTO marks VALUES (?, ?)", marks).fetchall()
        if untimed:
            self.connection.executemany("INSERT INTO untimed VALUES (?, ?, ?)", untimed).fetchall()
        return Tail(position, head)

    def _row(
        self, chunk: Sequence[Event], weights: Sequence[int | None], first: int, now: int
    ) -> tuple[int | bytes, ...]:
        raws = [event.raw for event in chunk]
        load = blocks.load(weights)
        size = sum(map(len, raws))
        return first, len(raws), now, size, load.jobs, load.realtime_ms, self._packer.pack(raws)

    def _note_log(self, _: apsw.Connection, __: str, pages: int) -> int:
        self._log_pages = pages
        return 0

    def _check_format(self) -> None:
        with sqlite.translated(f"ledger {self.ledger}"):
            rows: list[Any] = self.connection.execute("SELECT name, value FROM meta").fetchall()
        meta: dict[str, Any] = dict(rows)
        if meta.get("format") != schema.FORMAT or meta.get("ledger") != self.ledger:
            raise Damaged(
                f"ledger {self.ledger}: what is inside says {meta.get('ledger')}, "
                f"format {meta.get('format')}",
                "was it copied here, or made by a newer version?",
            )

    def _check_head(self, head: heads.Head | None) -> None:
        if head is None or head.ledger != self.ledger:
            raise Damaged(
                f"the head of ledger {self.ledger} is missing or unreadable",
                "whether the ledger lost its end cannot be told",
            )
        self._check_end(head.position, "were acknowledged")
        purged = self.reader.bounds()[0] - 1
        if head.position >= purged and self.reader.hash_at(head.position) != head.hash:
            raise Damaged(
                f"ledger {self.ledger} has another chain at {head.position} than its head says",
                "events were altered or removed",
            )

    def _check_size(self, database: Path) -> None:
        """A page that is only half there reads as zeros without an error of its checksum."""
        try:
            whole = sqlite.empty_log(self.connection, f"ledger {self.ledger}")
        except sqlite.DiskFailed:
            raise
        except StorageUnavailable:
            whole = False
        if not whole:
            return
        with sqlite.translated(f"ledger {self.ledger}"):
            pages = int(self.connection.pragma("page_count"))
        if database.stat().st_size < pages * sqlite.PAGE_BYTES:
            raise Damaged(f"{database} is cut off", "its end was there once; restore a backup")

    def _check_end(self, needed: int, why: str) -> None:
        if needed > self.tail.position:
            lost = needed - self.tail.position
            raise Damaged(
                f"ledger {self.ledger} ends at {self.tail.position}, "
                f"but positions up to {needed} {why}",
                many(lost, "acknowledged event is lost", "acknowledged events are lost"),
            )
