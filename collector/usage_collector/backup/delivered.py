"""What was delivered, by the manifests that collectors keep: in the backup, back, and compared."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, NamedTuple

from usage_collector.backup.fetching import keep
from usage_collector.backup.index import Kept
from usage_collector.backup.reading import opened
from usage_collector.backup.sealing import SUFFIX
from usage_collector.backup.stores import MANIFESTS
from usage_collector.errors import DeliveryFailed, UsageError
from usage_collector.packages import Contents, Malformed, payload_sha256
from usage_collector.packages.manifest import Manifest, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from usage_collector.backup.fetching import Fetcher
    from usage_collector.backup.returning import Source
    from usage_collector.ledger import Reader
    from usage_collector.peers import Peer

_CHUNK = 256 * 1024


class File(NamedTuple):
    """A file that was delivered with a period: positions of a ledger, and its payload's SHA-256."""

    period: str
    name: str
    collector: str
    zone: str
    ledger: str
    first: int
    last: int
    payload_sha256: str


def fetch(fetcher: Fetcher, period: str, known: Kept | None) -> Kept | None:
    """Keeps a period's manifest, if the collector has another one than is ``known``."""
    data = fetcher.peer.manifest(period)
    if data is None:
        return None
    digest = hashlib.sha256(data).hexdigest()
    if known and known.sha256 == digest:
        return known
    # Nothing is overwritten: the index names the one before until it names this one.
    name = f"{MANIFESTS}/{period}-{digest[:8]}.json{SUFFIX if fetcher.key else ''}"
    path = fetcher.spool / "manifest"
    path.write_bytes(data)
    return Kept(period, name, len(data), digest, keep(fetcher.store, fetcher.key, path, name))


def give_back(source: Source, peer: Peer) -> list[str]:
    """Leaves the manifests with a collector that does not have them; of which periods.

    Only of those that something it holds was cut for: not all of a backup may have come back.
    """
    cut = {one.period for one in peer.status().periods}
    known = [one for one in source.index.manifests if one.period in cut]
    lacking = [one for one in known if peer.manifest(one.period) is None]
    for one in lacking:
        peer.keep_manifest(one.period, _read(source, one))
    return [one.period for one in lacking]


def _read(source: Source, kept: Kept) -> bytes:
    with opened(source.store, source.index, kept, source.key) as file:
        return b"".join(iter(lambda: file.read(_CHUNK), b""))


def files(source: Source, proofs: Mapping[str, bytes] | None, findings: list[str]) -> list[File]:
    """What all manifests of the backup list; what is wrong with one of them is a finding.

    ``proofs`` are the public keys that may have signed them, None: whoever did.
    """
    found: list[File] = []
    for one in source.index.manifests:
        try:
            what = read(io.BytesIO(_read(source, one)), {})
        except DeliveryFailed:
            raise
        except (UsageError, Malformed) as error:
            findings.append(f"the manifest of {one.period}: {error}")
            continue
        if not what.seal.proof_ok or (proofs is not None and what.seal.proof_kid not in proofs):
            findings.append(f"the manifest of {one.period} is not signed with the fleet's keys")
        found += _listed(what)
    return found


def _listed(what: Manifest) -> Iterator[File]:
    zones = {line.get("collector"): str(line.get("zone")) for line in what.lines("collectors")}
    for line in what.lines("files"):
        collector, first, last = line.get("collector"), line.get("first"), line.get("last")
        if isinstance(first, int) and isinstance(last, int):
            yield File(
                what.period,
                str(line.get("name")),
                str(collector),
                zones.get(collector, ""),
                str(line.get("ledger")),
                first,
                last,
                str(line.get("payload_sha256")),
            )


def same(reader: Reader, file: File) -> bool:
    """Whether a ledger gives the very payload that was delivered."""
    contents = Contents(
        collector=file.collector,
        zone=file.zone,
        ledger=file.ledger,
        period=file.period,
        since=None,
        until=None,
        count=file.last - file.first + 1,
        chain=reader.chain(file.first, file.last),
        positions=None,
    )
    events = reader.events(file.first, file.last)
    return payload_sha256(contents, events) == file.payload_sha256
