"""States taken into the day index, and what that changes in its sums."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from usage_collector.usage.schema import SUMS
from usage_collector.usage.states import State, merged
from usage_collector.usage.texts import COLUMNS, COUNTED, LABEL, OWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import apsw

    from usage_collector.usage.texts import Words

KEY_BYTES = 20
"""Of an identity; enough that no two of them are the same in any number anybody will ever see."""
_KNOWN = f"SELECT seq, {COLUMNS} FROM sessions WHERE identity = ?"  # noqa: S608
_PUT = (
    f"INSERT OR REPLACE INTO sessions(seq, {COLUMNS}) "  # noqa: S608
    f"VALUES ({', '.join('?' * (COLUMNS.count(',') + 2))})"
)
_SETTLE = (
    "UPDATE sessions SET counted = 1, due = NULL WHERE due <= ? "  # noqa: S608
    f"RETURNING seq, {COLUMNS}"
)
_ADD = (
    f"INSERT INTO cells(day, label, {SUMS}) VALUES (?, ?, ?, ?, ?, ?, ?) "  # noqa: S608
    "ON CONFLICT DO UPDATE SET "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS.split(", "))
)
_CHANGED = (
    "INSERT INTO days(day) VALUES (?) "
    "ON CONFLICT DO UPDATE SET columns = NULL WHERE columns IS NOT NULL"
)


class Folding:
    """One transaction's worth of changes; ``seq`` is the next free number.

    What is ``own`` was read from this collector's ledgers, and gets a new number with each change.
    ``now`` (µs) decides which sessions without an end count.
    """

    def __init__(
        self, connection: apsw.Connection, words: Words, seq: int, now: int, *, own: bool = False
    ) -> None:
        self.seq = seq
        self._connection = connection
        self._words = words
        self._now = now
        self._own = own
        self._sums: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0] * 5)

    def take(self, states: Iterable[State]) -> None:
        """Take these states in."""
        new: dict[bytes, State] = {}
        for state in states:
            key = state.identity[:KEY_BYTES]
            state = msgspec.structs.replace(state, identity=key)
            new[key] = merged(new[key], state) if key in new else state
        rows = [row for state in new.values() if (row := self._changed(state)) is not None]
        self._connection.executemany(_PUT, rows)
        self._write_sums()

    def settle(self) -> None:
        """Count the sessions without an end that are over by now."""
        rows: list[Any] = self._connection.execute(_SETTLE, (self._now,)).fetchall()
        for row in rows:
            self._count(self._words.state(row), row[LABEL], 1)
        self._write_sums()

    def _changed(self, state: State) -> tuple[Any, ...] | None:
        """The row it comes to with what is known already; None when that changes nothing."""
        found: list[Any] = self._connection.execute(_KNOWN, (state.identity,)).fetchall()
        seq, own = 0, self._own
        if found:
            row = found[0]
            known = self._words.state(row)
            state = merged(known, state)
            if state == known and (row[OWN] or not own):
                return None
            if row[COUNTED]:
                self._count(known, row[LABEL], -1)
            seq, own = row[0], bool(own or row[OWN])
        if self._own or not seq:
            seq, self.seq = self.seq, self.seq + 1
        counted = state.ended or state.due <= self._now
        label = self._words.label(state)
        if counted:
            self._count(state, label, 1)
        return self._words.row(seq, state, label, own=own, counted=counted)

    def _count(self, state: State, label: int, sign: int) -> None:
        """Add a state to the sums, or take it out again (-1); warm-ups are never in them."""
        if state.warm_up:
            return
        sums = self._sums[state.day, label]
        estimated = 0 if state.ended else sign
        add(
            sums,
            (
                sign,
                sign * state.duration,
                sign * state.speech,
                estimated,
                estimated * state.duration,
            ),
        )

    def _write_sums(self) -> None:
        self._connection.executemany(_ADD, [(*key, *sums) for key, sums in self._sums.items()])
        self._connection.executemany(_CHANGED, [(day,) for day in {day for day, _ in self._sums}])
        self._sums.clear()


def add(into: list[int], sums: Sequence[int]) -> None:
    """Add to sums in place."""
    for index, value in enumerate(sums):
        into[index] += value
