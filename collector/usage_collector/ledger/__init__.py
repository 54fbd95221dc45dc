"""The ledger: every acknowledged event, durable, once, in order, provably unaltered.

Knows all SQL, the writer thread and the ledgers a collector has had; never HTTP.
"""

from usage_collector.ledger.blocks import BATCH_JOB, Load, weight
from usage_collector.ledger.catalog import Catalog
from usage_collector.ledger.cuts import Cut, CutFile, Cuts, Limits, Receipt, ReceiptFile
from usage_collector.ledger.ledgers import Ledgers, Status, head_of, inspect, open_reader
from usage_collector.ledger.pacing import Pace
from usage_collector.ledger.reader import Billed, Block, Filed, Reader, within
from usage_collector.ledger.receipts import unreported
from usage_collector.ledger.restoring import Origin, Part, Restored, restore
from usage_collector.ledger.salvage import stretches

__all__ = [
    "BATCH_JOB",
    "Billed",
    "Block",
    "Catalog",
    "Cut",
    "CutFile",
    "Cuts",
    "Filed",
    "Ledgers",
    "Limits",
    "Load",
    "Origin",
    "Pace",
    "Part",
    "Reader",
    "Receipt",
    "ReceiptFile",
    "Restored",
    "Status",
    "head_of",
    "inspect",
    "open_reader",
    "restore",
    "stretches",
    "unreported",
    "weight",
    "within",
]
