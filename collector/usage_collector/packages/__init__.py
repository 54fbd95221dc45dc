"""Events to signed packages and back: the format, its keys, and the proof that all is there.

The format stands in docs/; knows files, never SQL or HTTP.
"""

from usage_collector.packages.contents import (
    EXPORT,
    MANIFEST,
    MARK_EVERY,
    Chain,
    Contents,
    Run,
    ending_of,
    file_name,
    genesis,
    link,
    marks_between,
    name_ending,
    places,
    runs,
)
from usage_collector.packages.envelope import buffered, compact, gzipped, sealed
from usage_collector.packages.explaining import explain
from usage_collector.packages.findings import FileReport, Finding, Kind, Report, Trust
from usage_collector.packages.keys import Keys, key_id, read_public_keys, read_secret
from usage_collector.packages.reading import Foreign, Package, Seal
from usage_collector.packages.scanner import Malformed
from usage_collector.packages.verifying import verify
from usage_collector.packages.writing import payload_sha256, write

__all__ = [
    "EXPORT",
    "MANIFEST",
    "MARK_EVERY",
    "Chain",
    "Contents",
    "FileReport",
    "Finding",
    "Foreign",
    "Keys",
    "Kind",
    "Malformed",
    "Package",
    "Report",
    "Run",
    "Seal",
    "Trust",
    "buffered",
    "compact",
    "ending_of",
    "explain",
    "file_name",
    "genesis",
    "gzipped",
    "key_id",
    "link",
    "marks_between",
    "name_ending",
    "payload_sha256",
    "places",
    "read_public_keys",
    "read_secret",
    "runs",
    "sealed",
    "verify",
    "write",
]
