"""Packages on their way from a collector into its backup: proven, joined to what is there, kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from usage_collector.backup.index import Stored
from usage_collector.backup.reading import opened
from usage_collector.backup.sealing import SUFFIX
from usage_collector.errors import Damaged, PeerUnavailable
from usage_collector.packages import Package, Trust, file_name, key_id, link, read_public_keys
from usage_collector.packages.checking import Check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from usage_collector.backup.index import Index
    from usage_collector.backup.planning import Piece
    from usage_collector.backup.sealing import Key
    from usage_collector.backup.stores import Store
    from usage_collector.packages import Chain, FileReport
    from usage_collector.peers import Ledger, Peer

_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches from ``peer`` into ``folder`` of ``store``; ``spool`` takes one package at a time.

    ``proofs`` are the public keys that packages are proven with, ``now`` dates them.
    """

    peer: Peer
    store: Store
    key: Key | None
    spool: Path
    proofs: Mapping[str, bytes]
    now: Callable[[], datetime]
    folder: str

    def fetch(
        self, ledger: Ledger, piece: Piece, have: Sequence[Stored], *, patient: bool = True
    ) -> Stored:
        """Fetches a package, proves it, joins it to what is there, keeps it.

        Raises:
            PeerUnavailable: the collector did not give it, or what it gave does not verify.
            Damaged: it is no continuation of what is there.
            DeliveryFailed, StorageUnavailable: the place does not take it.
        """
        path = self.spool / "package"
        self.peer.positions(ledger.id, piece.first, piece.last, path, patient=patient)
        report = self._proved(ledger, piece, path)
        chain = report.contents.chain
        assert chain  # noqa: S101 - _proved looked
        join(have, ledger.id, chain, path)
        name = f"{self.folder}/{report.name}{SUFFIX if self.key else ''}"
        return Stored(
            file=name,
            ledger=ledger.id,
            first=piece.first,
            last=piece.last,
            before=chain.before.hex(),
            after=chain.after.hex(),
            bytes=report.seal.size,
            sha256=report.seal.sha256,
            stored_bytes=keep(self.store, self.key, path, name),
            taken=self.now(),
        )

    def _proved(self, ledger: Ledger, piece: Piece, path: Path) -> FileReport:
        check = Check(f"{piece.first} to {piece.last}", Trust(proofs=self.proofs), lambda _: None)
        with path.open("rb") as file:
            check.run(file)
        report = check.report
        if check.findings or report is None:
            what = "; ".join(f"{one.kind}: {one.detail}" for one in check.findings)
            raise PeerUnavailable(
                f"{self.peer.url} sent positions {piece.first} to {piece.last} of ledger "
                f"{ledger.id}, and they do not verify: {what}",
                "see usage-collector check at that collector",
            )
        chain = report.contents.chain
        got = (report.contents.ledger, chain and chain.first, chain and chain.last)
        if got != (ledger.id, *piece):
            raise PeerUnavailable(f"{self.peer.url} sent {got} where {piece} was asked for")
        return replace(report, name=file_name(report.contents))


def adopted(fetcher: Fetcher, index: Index, one: Stored, have: Sequence[Stored]) -> Stored:
    """A package of the tail, brought beside those in the fetcher's folder.

    Raises:
        Damaged: it is not what was taken, or no continuation of what is there.
    """
    path = fetcher.spool / "package"
    with opened(fetcher.store, index, one, fetcher.key) as source, path.open("wb") as out:
        while data := source.read(_CHUNK):
            out.write(data)
    with path.open("rb") as file:
        chain = Package(file, {}).contents.chain
    assert chain  # noqa: S101 - it was proven when it was taken
    join(have, one.ledger, chain, path)
    name = f"{fetcher.folder}/{one.file.rpartition('/')[2]}"
    size = keep(fetcher.store, fetcher.key, path, name)
    return msgspec.structs.replace(one, file=name, stored_bytes=size)


def keep(store: Store, key: Key | None, path: Path, name: str) -> int:
    """Keeps a file under that name, encrypted where there is a key; the size it has there."""
    with path.open("rb") as file:
        return store.write(name, key.seal(file) if key else _chunks(file))


def proofs(peer: Peer, spool: Path) -> dict[str, bytes]:
    """The public keys that a collector signs with, and signed with, by their ids."""
    path = spool / "proof.pem"
    path.write_bytes(peer.proof_keys())
    return {key_id(key): key for key in read_public_keys(path)}


def join(have: Sequence[Stored], ledger: str, chain: Chain, path: Path) -> None:
    """`Damaged` when the package at ``path`` is not the continuation of what is there."""
    differs = False
    for one in have:
        if one.last == chain.first - 1:
            differs |= one.after != chain.before.hex()
        if chain.first <= one.last < chain.last:
            differs |= one.after != _hash_at(path, one.last).hex()
        if one.last == chain.last:
            differs |= one.after != chain.after.hex()
    if differs:
        raise Damaged(
            f"positions {chain.first} to {chain.last} of ledger {ledger} do not join what is in "
            "the backup: one of the two was altered",
            "nothing was changed; compare the two with usage-collector verify",
        )


def _hash_at(path: Path, position: int) -> bytes:
    """h(position), from a package that has been proven."""
    with path.open("rb") as file:
        package = Package(file, {})
        chain = package.contents.chain
        assert chain  # noqa: S101 - a package of positions
        head, at = chain.before, chain.first - 1
        for raw in package.events():
            head, at = link(head, sha256(raw).digest()), at + 1
            if at == position:
                break
        return head


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk
