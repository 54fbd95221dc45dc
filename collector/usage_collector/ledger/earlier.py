"""The ledgers before the live one, asked whether they hold an event that comes again."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from usage_collector.errors import UsageError
from usage_collector.ledger import sqlite
from usage_collector.ledger.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from usage_collector.events import Event


class Earlier:
    """Closed ledgers by their id and database; used by one thread."""

    def __init__(self, ledgers: Sequence[tuple[str, Path]]) -> None:
        self._waiting = list(ledgers)
        self._readers: list[Reader] = []

    def __bool__(self) -> bool:
        return bool(self._waiting or self._readers)

    def hold(self, event: Event) -> bool:
        """Whether one of them gives the event back, byte for byte.

        One that knows its id but cannot be read does not count: better stored twice than never,
        for what is billed is found out by its identity.
        """
        self._open()
        for reader in self._readers:
            with suppress(UsageError):
                if reader.holds(event.transport_id, event.raw):
                    return True
        return False

    def close(self) -> None:
        """Give the connections back."""
        while self._readers:
            self._readers.pop().close()

    def _open(self) -> None:
        while self._waiting:
            ledger, database = self._waiting.pop()
            with suppress(UsageError), sqlite.translated(f"ledger {ledger}"):
                self._readers.append(Reader(sqlite.open_reader(database), ledger))
