"""The sums of a day as columns, so that a quarter of millions of jobs is summed up in milliseconds.

Days that are over hardly ever change, and are read as they were written. Whoever imports this does
so late: numpy takes 10 MB and a fifth of a second, which most commands need not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from usage_collector.usage.schema import SUMS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import apsw
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

_DAYS = "SELECT day, columns FROM days WHERE day BETWEEN ? AND ? ORDER BY day"
_CELLS = f"SELECT label, {SUMS} FROM cells WHERE day = ? AND count > 0"  # noqa: S608
_ALL, _ESTIMATES = ("<u4", "<u4", "<i8", "<i8"), ("<u4", "<u4", "<i8")
"""Numbers and durations: a label, `schema.SUMS` without estimates; a label and its estimates."""


class Columns(NamedTuple):
    """Numbers of labels with their counts, durations and speech, and those with estimates."""

    labels: Integers
    sums: Sequence[Integers]
    estimated: Integers
    estimates: Sequence[Integers]


def read(connection: apsw.Connection, first: int, last: int) -> Iterator[tuple[int, Columns]]:
    """The days from ``first`` to ``last`` that there are, in their order, with their columns.

    What is read is what there was when this was called.
    """
    rows: Any = connection.execute(_DAYS, (first, last))
    return (
        (day, _unpacked(_packed(connection, day) if kept is None else kept)) for day, kept in rows
    )


class Sums:
    """Sums of so many groups; behind them stands whatever nobody asks for."""

    def __init__(self, groups: int) -> None:
        self._sums = np.zeros((5, groups + 1), dtype=np.int64)

    def add(self, groups: Integers, found: Columns) -> None:
        """Add columns, by the group of each label (`numbered`)."""
        for labels, some, into in (
            (found.labels, found.sums, self._sums[:3]),
            (found.estimated, found.estimates, self._sums[3:]),
        ):
            of = groups[labels]
            for sums, column in zip(into, some, strict=True):
                np.add.at(sums, of, column)

    def take(self) -> tuple[list[int], list[list[int]]]:
        """The groups of which there is any, in their order, and their sums; begins anew."""
        (some,) = np.nonzero(self._sums[0, :-1] > 0)
        sums: list[list[int]] = self._sums[:, some].T.tolist()
        self._sums[:] = 0
        return some.tolist(), sums

    def __bool__(self) -> bool:
        return bool(self._sums[0, :-1].any())


def numbered(groups: Mapping[int, int], length: int, nothing: int) -> Integers:
    """The group of each label by its number, and that number for all others up to ``length``."""
    of = np.full(length, nothing, dtype=np.int64)
    of[[*groups]] = [*groups.values()]
    return of


def seal(connection: apsw.Connection, day: int) -> None:
    """Keep the columns of a day."""
    kept = _packed(connection, day)
    connection.execute("UPDATE days SET columns = ? WHERE day = ?", (kept, day)).fetchall()


def _packed(connection: apsw.Connection, day: int) -> bytes:
    rows = connection.execute(_CELLS, (day,)).fetchall()
    cells = np.array(rows, dtype="<i8").reshape(len(rows), 6)
    estimates = cells[cells[:, 4] > 0][:, (0, 4, 5)]
    parts = [np.array((len(cells), len(estimates)), dtype="<i8").tobytes()]
    for columns, types in ((cells, _ALL), (estimates, _ESTIMATES)):
        parts += [columns[:, at].astype(type_).tobytes() for at, type_ in enumerate(types)]
    return b"".join(parts)


def _unpacked(kept: bytes) -> Columns:
    lengths = np.frombuffer(kept, "<i8", 2).tolist()
    found: list[Integers] = []
    at = 16
    for length, types in zip(lengths, (_ALL, _ESTIMATES), strict=True):
        for type_ in types:
            column = np.frombuffer(kept, type_, length, at)
            at += column.nbytes
            # Numbers of one type are added many times as fast.
            found.append(column.astype(np.int64, copy=False))
    return Columns(found[0], found[1:4], found[4], found[5:])
