"""Backups of collectors: taken over HTTP, proven by restoring them, brought back."""

from usage_collector.backup import catalog, delivered, loose, proving, shipping, taking
from usage_collector.backup.assigning import Return, spread
from usage_collector.backup.index import Index, Proof, Stored
from usage_collector.backup.receiving import receive
from usage_collector.backup.returning import Coming, Source, plan, send
from usage_collector.backup.sealing import Key
from usage_collector.backup.stores import Place, Store, place

__all__ = [
    "Coming",
    "Index",
    "Key",
    "Place",
    "Proof",
    "Return",
    "Source",
    "Store",
    "Stored",
    "catalog",
    "delivered",
    "loose",
    "place",
    "plan",
    "proving",
    "receive",
    "send",
    "shipping",
    "spread",
    "taking",
]
