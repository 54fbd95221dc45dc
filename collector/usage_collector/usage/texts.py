"""Rows of the day index as states and back, with every text kept once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from usage_collector.usage.states import LABELS, State

if TYPE_CHECKING:
    from collections.abc import Iterable

    import apsw

COLUMNS = (
    "identity, own, source, position, label, final, warm_up, time, received, duration, speech, "
    "ended, end_time, statuses, counted, due"
)
"""Of ``sessions``, behind ``seq``."""
OWN, COUNTED = 2, 15
"""Where these stand in a row that begins with ``seq``."""
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


class Words:
    """All texts of an index: combinations of labels, groups of them, and where events stand."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.labels = Texts(connection, "labels", LABELS)
        self.groups = Texts(connection, "groups", ("a", "b", "c", "d"))
        self.sources = Texts(connection, "sources", ("collector", "ledger"))

    def state(self, row: tuple[Any, ...]) -> State:
        """The state that a row of ``sessions`` (``seq`` first) stands for."""
        collector, ledger = self.sources.rows[row[3]]
        final, time = bool(row[6]), row[8]
        return State(
            identity=row[1],
            collector=collector,
            ledger=ledger,
            position=row[4],
            labels=self.labels.rows[row[5]],
            final=final,
            warm_up=bool(row[7]),
            time=time,
            received=row[9],
            duration=row[10],
            speech=row[11],
            ended=bool(row[12]),
            end=time if final and row[13] is None else row[13],
            statuses=_unpack(row[14]) if row[14] else (),
        )

    def row(self, seq: int, state: State, *, own: bool, counted: bool) -> tuple[Any, ...]:
        """The reverse of `state`. Most jobs have one end, whose time is not kept twice."""
        return (
            seq,
            state.identity,
            own,
            self.sources.id((state.collector, state.ledger)),
            state.position,
            self.labels.id(state.labels),
            state.final,
            state.warm_up,
            state.time,
            state.received,
            state.duration,
            state.speech,
            state.ended,
            None if state.final and state.end == state.time else state.end,
            _pack(state.statuses) if state.statuses else None,
            counted,
            None if counted else state.due,
        )
