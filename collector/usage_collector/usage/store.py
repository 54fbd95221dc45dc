"""The day index on disk: states in, sums by day and labels kept in step with them.

One connection writes, guarded by a lock; each reading has a connection of its own. Everything
stored here can be made anew, so a commit need not survive a power cut; what was lost is read again.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from usage_collector.errors import Damaged
from usage_collector.ledger import sqlite
from usage_collector.usage import schema
from usage_collector.usage.schema import GROUPINGS
from usage_collector.usage.states import LABELS, State, merged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import apsw

_log = logging.getLogger(__name__)

KEY_BYTES = 20
"""Of an identity; enough that no two of them are the same in any number anybody will ever see."""
_LEAP = 1 << 20
_COLUMNS = (
    "identity, own, source, position, label, final, warm_up, time, received, duration, speech, "
    "ended, end_time, statuses, counted, due"
)
_SUMS = "count, duration, speech, estimated, estimated_duration"
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[int, ...]).decode


class Texts:
    """Rows of texts and their numbers, each kept once in a table; read once, then remembered."""

    def __init__(self, connection: apsw.Connection, table: str, columns: tuple[str, ...]) -> None:
        names = ", ".join(columns)
        self._connection = connection
        self._insert = (
            f"INSERT INTO {table}({names}) VALUES ({', '.join('?' * len(columns))}) RETURNING id"  # noqa: S608
        )
        rows: Iterable[Any] = connection.execute(f"SELECT id, {names} FROM {table}")  # noqa: S608
        self.rows: dict[int, tuple[Any, ...]] = {row[0]: row[1:] for row in rows}
        self._ids = {row: number for number, row in self.rows.items()}

    def id(self, row: tuple[Any, ...]) -> int:
        """The number of these texts, a new one where they are new."""
        number = self._ids.get(row)
        if number is None:
            found: list[Any] = self._connection.execute(self._insert, row).fetchall()
            number = int(found[0][0])
            self._ids[row] = number
            self.rows[number] = row
        return number


class Store:
    """The index in that folder; an unusable one is made anew.

    Raises:
        StorageUnavailable: not even a new one can be made.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"usage-{schema.FORMAT}.db"
        self._lock = threading.Lock()
        try:
            self._open()
        except Damaged as error:
            _log.error("the day index is made anew: %s", error)
            self._remove()
            self._open()

    def fold(self, states: Iterable[State], now: int, *, own: bool, mark: Mark) -> int:
        """Take in what these states say, and where they were read, in one transaction.

        ``now`` (µs) decides which sessions without an end count; the number of changed rows.
        """
        with self._writing() as connection:
            changed = Folding(self, connection, own=own, now=now).run(states)
            connection.execute(mark.sql, mark.values)
        return changed

    def settle(self, now: int) -> int:
        """Count the sessions without an end that are over at ``now`` (µs); how many."""
        with self._writing() as connection:
            rows: list[Any] = connection.execute(
                f"UPDATE sessions SET counted = 1, due = NULL WHERE due <= ? RETURNING seq, {_COLUMNS}",  # noqa: S608, E501
                (now,),
            ).fetchall()
            sums = Folding(self, connection, own=False, now=now)
            for row in rows:
                sums.count(self.state(row), 1)
            sums.write_sums()
        return len(rows)

    def state(self, row: tuple[Any, ...]) -> State:
        """The state that a row of ``sessions`` (``seq`` first) stands for."""
        collector, ledger = self.sources.rows[row[3]]
        return State(
            identity=row[1],
            collector=collector,
            ledger=ledger,
            position=row[4],
            labels=self.labels.rows[row[5]],
            final=bool(row[6]),
            warm_up=bool(row[7]),
            time=row[8],
            received=row[9],
            duration=row[10],
            speech=row[11],
            ended=bool(row[12]),
            end=row[13],
            statuses=_unpack(row[14]) if row[14] else (),
        )

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """A connection that sees one state of the index throughout."""
        with sqlite.translated("the day index"):
            connection = sqlite.open_reader(self.path)
            try:
                with sqlite.transaction(connection, "DEFERRED"):
                    yield connection
            finally:
                connection.close()

    def put(self, mark: Mark) -> None:
        """Note where something was read, without anything new there."""
        with self._writing() as connection:
            connection.execute(mark.sql, mark.values)

    def rows(self, sql: str, *bindings: object) -> list[Any]:
        """The rows of one query."""
        with self.reading() as connection:
            return connection.execute(sql, bindings).fetchall()

    def close(self) -> None:
        """Give everything back."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _writing(self) -> Iterator[apsw.Connection]:
        with self._lock, sqlite.translated("the day index"):
            try:
                with sqlite.transaction(self._connection, "IMMEDIATE"):
                    yield self._connection
            except BaseException:
                # Numbers that were given to new texts were rolled back with everything else.
                self._read_texts()
                raise

    def _open(self) -> None:
        if not self.path.exists():
            made = self.path.with_suffix(".new")
            made.unlink(missing_ok=True)
            sqlite.create(made, schema.SQL)
            made.rename(self.path)
        with sqlite.translated("the day index"):
            self._connection = sqlite.open_writer(self.path)
            self._connection.pragma("synchronous", "normal")
            self._connection.pragma("wal_autocheckpoint", 1000)
            self._read_texts()
            self.epoch = self._begin()

    def _begin(self) -> str:
        execute = self._connection.execute
        execute("INSERT OR IGNORE INTO meta VALUES ('epoch', ?)", (uuid.uuid4().hex,)).fetchall()
        rows: list[Any] = execute("SELECT max(seq) FROM sessions").fetchall()
        last = rows[0][0] or 0
        # A power cut may have taken numbers back that others have seen; none is used twice.
        self.next_seq = (last // _LEAP + 1) * _LEAP
        return str(execute("SELECT value FROM meta WHERE name = 'epoch'").fetchall()[0][0])

    def _read_texts(self) -> None:
        self.labels = Texts(self._connection, "labels", LABELS)
        self.groups = Texts(self._connection, "groups", ("a", "b", "c", "d"))
        self.sources = Texts(self._connection, "sources", ("collector", "ledger"))

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


class Mark(msgspec.Struct, frozen=True):
    """Where reading stands, written together with what was read."""

    sql: str
    values: tuple[Any, ...]

    @classmethod
    def ledger(cls, ledger: str, position: int) -> Mark:
        """Up to that position of a ledger."""
        return cls("INSERT OR REPLACE INTO ledgers VALUES (?, ?)", (ledger, position))

    @classmethod
    def peer(cls, url: str, collector: str, epoch: str, seq: int, heard: int | None) -> Mark:
        """Up to that number of another collector, which told everything then (µs)."""
        sql = "INSERT OR REPLACE INTO peers VALUES (?, ?, ?, ?, ?)"
        return cls(sql, (url, collector, epoch, seq, heard))


class Folding:
    """One transaction's worth of states, and what they change in the sums."""

    def __init__(self, store: Store, connection: apsw.Connection, *, own: bool, now: int) -> None:
        self._store = store
        self._connection = connection
        self._own = own
        self._now = now
        self._sums: dict[tuple[int, int, bool], list[int]] = defaultdict(lambda: [0] * 5)

    def run(self, states: Iterable[State]) -> int:
        """Take them in; how many rows changed."""
        new: dict[bytes, State] = {}
        for state in states:
            key = state.identity[:KEY_BYTES]
            known = new.get(key)
            new[key] = state if known is None else merged(known, state)
        rows = [row for key, state in new.items() if (row := self._changed(key, state)) is not None]
        self._connection.executemany(
            f"INSERT OR REPLACE INTO sessions(seq, {_COLUMNS}) "  # noqa: S608
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        self.write_sums()
        return len(rows)

    def _changed(self, key: bytes, state: State) -> tuple[Any, ...] | None:
        """The row it comes to with what is known already; None when that changes nothing."""
        found: list[Any] = self._connection.execute(
            f"SELECT seq, {_COLUMNS} FROM sessions WHERE identity = ?",  # noqa: S608
            (key,),
        ).fetchall()
        state = msgspec.structs.replace(state, identity=key)
        seq, own = 0, self._own
        if found:
            row = found[0]
            known = self._store.state(row)
            state = merged(known, state)
            if state == known and (row[2] or not own):
                return None
            if row[15]:
                self.count(known, -1)
            seq, own = row[0], bool(own or row[2])
        if self._own or not seq:
            seq = self._store.next_seq
            self._store.next_seq += 1
        counted = state.ended or state.due <= self._now
        if counted:
            self.count(state, 1)
        return self._row(seq, state, own=own, counted=counted)

    def _row(self, seq: int, state: State, *, own: bool, counted: bool) -> tuple[Any, ...]:
        return (
            seq,
            state.identity,
            own,
            self._store.sources.id((state.collector, state.ledger)),
            state.position,
            self._store.labels.id(state.labels),
            state.final,
            state.warm_up,
            state.time,
            state.received,
            state.duration,
            state.speech,
            state.ended,
            state.end,
            _pack(state.statuses) if state.statuses else None,
            counted,
            None if counted else state.due,
        )

    def count(self, state: State, sign: int) -> None:
        """Add a state to the sums, or take it out again (-1)."""
        sums = self._sums[self._store.labels.id(state.labels), state.day, state.warm_up]
        sums[0] += sign
        sums[1] += sign * state.duration
        sums[2] += sign * state.speech
        if not state.ended:
            sums[3] += sign
            sums[4] += sign * state.duration

    def write_sums(self) -> None:
        """Bring the tables of sums in step."""
        daily: dict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0] * 5)
        for (label, day, warm_up), sums in self._sums.items():
            if not warm_up:
                for grouping, group in enumerate(self._groups(label)):
                    add(daily[grouping, day, group], sums)
        self._connection.executemany(
            _adding("amounts", "label, day, warm_up"),
            [(*key, *sums) for key, sums in self._sums.items()],
        )
        self._connection.executemany(
            _adding("daily", "grouping, day, value"),
            [(*key, *sums) for key, sums in daily.items()],
        )
        self._sums.clear()

    def _groups(self, label: int) -> list[int]:
        """The numbers of the values that these labels have in each of `GROUPINGS`."""
        labels = dict(zip(LABELS, self._store.labels.rows[label], strict=True))
        values = [[labels[name] for name in names] for names in GROUPINGS]
        return [self._store.groups.id((*some, *[""] * (4 - len(some)))) for some in values]


def add(into: list[int], sums: Sequence[int]) -> None:
    """Add to sums in place."""
    for index, value in enumerate(sums):
        into[index] += value


def _adding(table: str, keys: str) -> str:
    values = ", ".join("?" * (keys.count(",") + 1 + 5))
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in _SUMS.split(", "))
    return (
        f"INSERT INTO {table}({keys}, {_SUMS}) VALUES ({values}) "  # noqa: S608
        f"ON CONFLICT({keys}) DO UPDATE SET {added}"
    )
