"""Ledgers in a folder of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from usage_collector.ledger import Ledgers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOW = 1_790_900_000_000_000


@pytest.fixture
def open_ledgers(tmp_path: Path) -> Iterator[Callable[[], Ledgers]]:
    """Opens the ledgers of one folder, again and again; the last is closed at the end."""
    opened: list[Ledgers] = []

    def open_them() -> Ledgers:
        for ledgers in opened:
            ledgers.close()
        opened.append(Ledgers(tmp_path, "collector-0", "eu-1a", lambda: NOW))
        return opened[-1]

    yield open_them
    for ledgers in opened:
        ledgers.close()
