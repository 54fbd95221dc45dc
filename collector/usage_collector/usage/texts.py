"""Rows of the day index as states and back, with every text kept once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from usage_collector.usage.crowding import Crowd
from usage_collector.usage.grouping import Kept
from usage_collector.usage.states import LABELS, State

if TYPE_CHECKING:
    from collections.abc import Iterable

    import apsw

COLUMNS = (
    "identity, own, source, position, label, final, warm_up, time, received, duration, speech, "
    "ended, end_time, statuses, counted, due, dimensions"
)
"""Of ``sessions``, behind ``seq``."""
OWN, LABEL, COUNTED, _DIMENSIONS = 2, 5, 15, 17
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
        self.ids = {row: number for number, row in self.rows.items()}

    def id(self, row: tuple[Any, ...]) -> int:
        """The number of these texts, a new one where they are new."""
        number = self.ids.get(row)
        if number is None:
            found: list[Any] = self._connection.execute(self._insert, row).fetchall()
            number = int(found[0][0])
            self.ids[row] = number
            self.rows[number] = row
        return number


class Words:
    """All texts of an index: combinations of labels and dimensions, and where events stand."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.labels = Texts(connection, "labels", (*LABELS, "dimensions"))
        self.sources = Texts(connection, "sources", ("collector", "ledger"))
        self.kept = Kept()
        self._crowd = Crowd(row[-1] for row in self.labels.rows.values())

    def label(self, state: State) -> int:
        """The number of the labels and dimensions that it counts by."""
        row = (*state.labels, state.dimensions)
        if state.dimensions and row not in self.labels.ids:
            row = (*state.labels, self._crowd.kept(state.dimensions))
            if row not in self.labels.ids:
                row = (*state.labels, self._crowd.take(row[-1]))
        return self.labels.id(row)

    def state(self, row: tuple[Any, ...]) -> State:
        """The state that a row of ``sessions`` (``seq`` first) stands for."""
        collector, ledger = self.sources.rows[row[3]]
        *labels, dimensions = self.labels.rows[row[LABEL]]
        final, time = bool(row[6]), row[8]
        return State(
            identity=row[1],
            collector=collector,
            ledger=ledger,
            position=row[4],
            labels=tuple(labels),
            final=final,
            warm_up=bool(row[7]),
            time=time,
            received=row[9],
            duration=row[10],
            speech=row[11],
            ended=bool(row[12]),
            end=time if final and row[13] is None else row[13],
            statuses=_unpack(row[14]) if row[14] else (),
            dimensions=row[_DIMENSIONS] or dimensions,
        )

    def row(
        self, seq: int, state: State, label: int, *, own: bool, counted: bool
    ) -> tuple[Any, ...]:
        """The reverse of `state`, with its `label`; what most jobs have twice is kept once."""
        return (
            seq,
            state.identity,
            own,
            self.sources.id((state.collector, state.ledger)),
            state.position,
            label,
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
            None if state.dimensions == self.labels.rows[label][-1] else state.dimensions,
        )
