"""A ledger made again from its events, proven by its chain, in a folder that nobody reads yet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from usage_collector import events, files
from usage_collector.errors import Damaged, InvalidInput
from usage_collector.ledger import blocks, book, sqlite
from usage_collector.ledger import head as heads
from usage_collector.packages import MARK_EVERY, genesis, link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from usage_collector.events import Event

_BATCH = 2000
_INSERT_BLOCK = "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, NULL, ?)"


class Rebuild:
    """Takes stretches of a ledger's events in the order of their positions; `finish` ends it.

    ``first`` and ``last`` are the positions it has so far, ``head`` is h(last), ``holes`` are the
    runs between them that are missing. ``room`` is called before each commit and refuses when the
    disk has none.
    """

    def __init__(self, folder: Path, ledger: str, began: int, room: Callable[[], None]) -> None:
        files.make_folder(folder)
        book.create(folder, ledger, began)
        self.ledger = ledger
        self.first, self.last, self.head = 1, 0, genesis(ledger)
        self.holes: list[tuple[int, int]] = []
        self._folder = folder
        self._room = room
        self._packer = blocks.Packer()
        self._pending: list[Event] = []
        self._marks: list[tuple[int, bytes]] = []
        self._connection = sqlite.open_writer(folder / book.DATABASE)
        # Nothing counts before `finish` has flushed all of it.
        self._connection.pragma("synchronous", "off")

    def extend(self, first: int, before: bytes, raws: Iterable[bytes], received: int) -> bytes:
        """Take the events from position ``first`` on; h() behind the last of them.

        ``before`` is h(first - 1), ``received`` (µs) when they were received at the latest.
        Positions that are there already are compared.

        Raises:
            Damaged: they do not join what is there, or are no events.
            InvalidInput: they begin where the chain cannot be taken up.
        """
        self._join(first, before)
        position, head = first - 1, before
        for raw in raws:
            position += 1
            try:
                event = events.read(raw)
            except InvalidInput as error:
                raise Damaged(f"position {position} is no event: {error.detail}") from None
            head = link(head, event.digest)
            if position <= self.last:
                self._compare(position, head)
            else:
                self._add(event, head, received)
        self._flush(received)
        return head

    def finish(self) -> None:
        """Everything is on the disk when this returns."""
        with sqlite.translated(self.ledger), sqlite.transaction(self._connection, "IMMEDIATE"):
            for name, value in (("purged", self.first - 1), ("indexed", self.last)):
                sql = "UPDATE meta SET value = ? WHERE name = ?"
                self._connection.execute(sql, (value, name)).fetchall()
        sqlite.empty_log(self._connection, self.ledger)
        self._connection.close()
        descriptor = os.open(self._folder / book.DATABASE, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        head = heads.Head(self.ledger, self.last, self.head)
        heads.create(self._folder / book.HEAD, head)

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def _join(self, first: int, before: bytes) -> None:
        if first <= self.last:
            return
        if first == self.last + 1:
            if before != self.head:
                raise Damaged(
                    f"position {first} of ledger {self.ledger} does not join what is before it",
                    "one of the two is not of this ledger",
                )
            return
        if (first - 1) % MARK_EVERY:
            raise InvalidInput(
                f"positions {self.last + 1} to {first - 1} of ledger {self.ledger} are missing, "
                f"and its chain is not known at {first - 1}",
                "give packages that begin behind a hundred, as a backup holds them",
            )
        if self.last:
            self.holes.append((self.last + 1, first - 1))
        else:
            self.first = first
        self.last, self.head = first - 1, before
        self._marks.append((first - 1, before))

    def _compare(self, position: int, head: bytes) -> None:
        if position == self.last:
            known: bytes | None = self.head
        elif position % MARK_EVERY == 0:
            sql = "SELECT hash FROM marks WHERE position = ?"
            known = self._connection.execute(sql, (position,)).get
        else:
            return
        if known is not None and head != known:
            raise Damaged(
                f"positions up to {position} of ledger {self.ledger} were given twice, and differ",
                "give only packages of the same origin",
            )

    def _add(self, event: Event, head: bytes, received: int) -> None:
        self.last += 1
        self.head = head
        if self.last % MARK_EVERY == 0:
            self._marks.append((self.last, head))
        self._pending.append(event)
        if len(self._pending) >= _BATCH:
            self._flush(received)

    def _flush(self, received: int) -> None:
        pending, marks = self._pending, self._marks
        self._pending, self._marks = [], []
        start = self.last - len(pending) + 1
        weights = list(map(blocks.weight, pending))
        ids = [(e.short_id, start + n, weights[n]) for n, e in enumerate(pending)]
        untimed = [
            (received, start + n, weights[n]) for n, e in enumerate(pending) if e.time is None
        ]
        self._room()
        with sqlite.translated(self.ledger), sqlite.transaction(self._connection, "IMMEDIATE"):
            self._store(pending, start, weights, received)
            self._many("INSERT OR IGNORE INTO ids VALUES (?, ?, ?)", sorted(ids))
            self._many("INSERT INTO untimed VALUES (?, ?, ?)", untimed)
            self._many("INSERT INTO marks VALUES (?, ?)", marks)
        if self.last // (_BATCH * 10) != start // (_BATCH * 10):
            sqlite.empty_log(self._connection, self.ledger)

    def _store(
        self, pending: list[Event], start: int, weights: list[int | None], received: int
    ) -> None:
        done = 0
        for chunk in blocks.chunks(pending):
            raws = [event.raw for event in chunk]
            load = blocks.load(weights[done : done + len(chunk)])
            self._connection.execute(
                _INSERT_BLOCK,
                (
                    start + done,
                    len(raws),
                    received,
                    sum(map(len, raws)),
                    load.jobs,
                    load.realtime_ms,
                    self._packer.pack(raws),
                ),
            )
            done += len(chunk)

    def _many(self, sql: str, rows: list[Any]) -> None:
        if rows:
            self._connection.executemany(sql, rows).fetchall()
