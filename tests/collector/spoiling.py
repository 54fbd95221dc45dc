"""Ledgers whose blocks cannot be read any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from usage_collector.ledger import Ledgers


def spoil(ledgers: Ledgers, *firsts: int) -> str:
    """Overwrite the live ledger's blocks that begin at these positions; its id."""
    with ledgers.reader(ledgers.live) as reader:
        reader.connection.pragma("query_only", 0)
        for first in firsts:
            reader.connection.execute("UPDATE blocks SET data = x'00' WHERE first = ?", (first,))
    return ledgers.live
