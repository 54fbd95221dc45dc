"""Events out of the ledgers: windows and positions as signed packages, and the cuts of periods."""

from usage_collector.export.cutting import cut, keep_manifest, kept_manifest, receive
from usage_collector.export.exporting import Exporter, Package
from usage_collector.export.listing import (
    describe_cut,
    describe_periods,
    describe_receipt,
    sessions,
)

__all__ = [
    "Exporter",
    "Package",
    "cut",
    "describe_cut",
    "describe_periods",
    "describe_receipt",
    "keep_manifest",
    "kept_manifest",
    "receive",
    "sessions",
]
