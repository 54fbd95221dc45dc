"""The ledgers before the live one, asked whether they hold an event that comes again."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from usage_collector.errors import UsageError
from usage_collector.ledger import sqlite
from usage_collector.ledger.index import entries
from usage_collector.ledger.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from usage_collector.events import Event


class Earlier:
    """Closed ledgers by their id and database; used by one thread."""

    def __init__(self, ledgers: Sequence[tuple[str, Path]]) -> None:
        self._waiting = list(ledgers)
        self._readers: list[tuple[Reader, dict[bytes, int]]] = []

    def add(self, ledger: str, database: Path) -> None:
        """One more that came back."""
        self._waiting.append((ledger, database))

    def __bool__(self) -> bool:
        return bool(self._waiting or self._readers)

    def hold(self, event: Event) -> bool:
        """Whether one of them gives the event back, byte for byte.

        One that knows its id but cannot be read does not count: better stored twice than never,
        for what is billed is found out by its identity.
        """
        self._open()
        for reader, unfiled in self._readers:
            with suppress(UsageError):
                position = unfiled.get(event.short_id)
                if position is None:
                    position = reader.position_of(event.short_id)
                if position is not None and reader.event(position) == event.raw:
                    return True
        return False

    def close(self) -> None:
        """Give the connections back."""
        while self._readers:
            self._readers.pop()[0].close()

    def _open(self) -> None:
        while self._waiting:
            ledger, database = self._waiting.pop()
            with suppress(UsageError), sqlite.translated(f"ledger {ledger}"):
                reader = Reader(sqlite.open_reader(database), ledger)
                self._readers.append((reader, _unfiled(reader)))


def _unfiled(reader: Reader) -> dict[bytes, int]:
    """Where the events are that the table of a closed ledger lacks, as far as they can be read."""
    positions: dict[bytes, int] = {}
    with suppress(UsageError):
        unfiled = entries(reader, reader.indexed() + 1, reader.bounds()[1])
        positions.update((id_, position) for id_, position, _ in unfiled)
    return positions
