"""The day index on disk: states in, sums by day and labels kept in step with them.

One connection writes, guarded by a lock; each reading has a connection of its own. Everything
stored here can be made anew, so a commit need not survive a power cut; what was lost is read again.
"""

from __future__ import annotations

import logging
import threading
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import apsw
import msgspec

from usage_collector.errors import Damaged, StorageUnavailable
from usage_collector.ledger import sqlite
from usage_collector.usage import fading, schema
from usage_collector.usage.folding import Folding
from usage_collector.usage.texts import Words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from usage_collector.usage.states import State

_log = logging.getLogger(__name__)

_LEAP = 1 << 20
_CHANGED = "SELECT day FROM days WHERE columns IS NULL AND day < ?"
_EPOCH = "SELECT value FROM meta WHERE name = 'epoch'"


class Mark(msgspec.Struct, frozen=True):
    """Something to be written together with what was read, such as up to where."""

    sql: str
    values: tuple[Any, ...]

    @classmethod
    def ledger(cls, ledger: str, position: int) -> Mark:
        """Up to that position of a ledger."""
        return cls("INSERT OR REPLACE INTO ledgers VALUES (?, ?)", (ledger, position))

    @classmethod
    def peer(
        cls, url: str, collector: str, epoch: str, seq: int, heard: int | None, zone: str
    ) -> Mark:
        """Up to that number of another collector, which told everything then (µs)."""
        sql = "INSERT OR REPLACE INTO peers VALUES (?, ?, ?, ?, ?, ?)"
        return cls(sql, (url, collector, epoch, seq, heard, zone))

    @classmethod
    def note(cls, name: str, value: int | bytes | None) -> Mark:
        """Something to be remembered by that name."""
        return cls("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    @classmethod
    def lost(cls, ledger: str, count: int) -> Mark:
        """So many more positions of a ledger could not be read."""
        sql = (
            "INSERT INTO lost VALUES (?, ?) "
            "ON CONFLICT(ledger) DO UPDATE SET count = count + excluded.count"
        )
        return cls(sql, (ledger, count))

    @classmethod
    def again(cls, ledger: str, came_back: str) -> list[Mark]:
        """A ledger is to be read from its beginning, for that much of it came back."""
        return [
            cls("DELETE FROM ledgers WHERE ledger = ?", (ledger,)),
            cls("DELETE FROM lost WHERE ledger = ?", (ledger,)),
            cls("INSERT OR REPLACE INTO meta VALUES ('restored ' || ?, ?)", (ledger, came_back)),
        ]

    @classmethod
    def early(cls, day: int, count: int) -> Mark:
        """So many more events came from the future on that day."""
        sql = (
            "INSERT INTO early VALUES (?, ?) "
            "ON CONFLICT(day) DO UPDATE SET count = count + excluded.count"
        )
        return cls(sql, (day, count))


class Store:
    """The index in that folder; one that cannot be used is made anew.

    ``epoch`` is another one for each index that was begun; ``damage`` says what was found to be
    wrong with this one, until somebody calls `renew`.

    Raises:
        StorageUnavailable: not even a new one can be made.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"usage-{schema.FORMAT}.db"
        self.epoch = ""
        self.next_seq = 0
        self.damage = ""
        self._lock = threading.Lock()
        try:
            self._open()
        except Damaged as error:
            self.renew(str(error))

    def fold(
        self, states: Sequence[State], now: int, *, own: bool, marks: Iterable[Mark], epoch: str
    ) -> None:
        """Take in what these states say, and what else was found, in one transaction.

        ``now`` (µs) decides which sessions without an end count; ``epoch`` is that of the index
        that told where to read.

        Raises:
            StorageUnavailable: the index was made anew since.
        """
        with self._writing() as connection:
            self._check(epoch)
            folding = Folding(connection, self.words, self.next_seq, now, own=own)
            folding.take(states)
            if not own:
                fading.learn(connection, states)
            for mark in marks:
                connection.execute(mark.sql, mark.values).fetchall()
            self.next_seq = folding.seq

    def knows(self, ledger: str) -> bool:
        """Whether anything of that ledger was ever taken in."""
        return any(known == ledger for _, known in [*self.words.sources.rows.values()])

    def settle(self, now: int) -> None:
        """Count the sessions without an end that are over at ``now`` (µs)."""
        with self._writing() as connection:
            Folding(connection, self.words, self.next_seq, now).settle()

    def seal(self, before: int) -> None:
        """Keep the sums of days before that one as `columns`, which are read at once."""
        from usage_collector.usage import columns

        for (day,) in self.rows(_CHANGED, before):
            with self._writing() as connection:
                columns.seal(connection, day)

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """A connection that sees one state of the index throughout.

        Raises:
            StorageUnavailable: the index is made anew, so that the texts are no longer these rows'.
        """
        epoch = self.epoch
        self._check(epoch)
        with self._watched():
            connection = sqlite.open_reader(self.path)
            try:
                with sqlite.transaction(connection, "DEFERRED"):
                    yield connection
            finally:
                connection.close()
        self._check(epoch)

    def rows(self, sql: str, *bindings: int) -> list[Any]:
        """The rows of one query."""
        with self.reading() as connection:
            return connection.execute(sql, bindings).fetchall()

    def renew(self, why: str) -> None:
        """Begin with an empty index."""
        _log.error("the day index is made anew: %s", why)
        with self._lock:
            if self.epoch:
                self.epoch = ""
                with suppress(apsw.Error):
                    self._connection.close()
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            self._open()
            self.damage = ""

    def close(self) -> None:
        """Give everything back."""
        with self._lock:
            self._connection.close()

    def _check(self, epoch: str) -> None:
        """Refuse what began with another index than the present one."""
        if not epoch or epoch != self.epoch:
            raise StorageUnavailable("the day index was made anew meanwhile", "read it again")

    @contextmanager
    def _writing(self) -> Iterator[apsw.Connection]:
        with self._lock, self._watched():
            try:
                with sqlite.transaction(self._connection, "IMMEDIATE"):
                    yield self._connection
            except BaseException:
                # Numbers that were given to new texts were rolled back with everything else.
                with suppress(apsw.Error):
                    self.words = Words(self._connection)
                raise

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            with sqlite.translated("the day index"):
                yield
        except Damaged as error:
            self.damage = str(error)
            raise

    def _open(self) -> None:
        if not self.path.exists():
            made = self.path.with_suffix(".new")
            made.unlink(missing_ok=True)
            sqlite.create(made, schema.SQL)
            made.rename(self.path)
        for path in self.path.parent.glob(f"{self.path.name}*"):
            # Those of versions before were for everybody to read.
            with suppress(OSError):
                path.chmod(0o600)
        with sqlite.translated("the day index"):
            self._connection = sqlite.open_writer(self.path)
            self._connection.pragma("synchronous", "normal")
            self._connection.pragma("wal_autocheckpoint", 1000)
            if self._connection.pragma("user_version") < schema.VERSION:
                _log.info("the day index is brought up to this version; all events are read again")
                with sqlite.transaction(self._connection, "IMMEDIATE"):
                    self._connection.execute(schema.UPGRADE).fetchall()
            self.words = Words(self._connection)
            self._begin()

    def _begin(self) -> None:
        execute = self._connection.execute
        execute("INSERT OR IGNORE INTO meta VALUES ('epoch', ?)", (uuid.uuid4().hex,)).fetchall()
        rows: list[Any] = execute("SELECT max(seq) FROM sessions").fetchall()
        # A power cut may have taken numbers back that others have seen; none is used twice.
        self.next_seq = ((rows[0][0] or 0) // _LEAP + 1) * _LEAP
        self.epoch = str(execute(_EPOCH).fetchall()[0][0])
