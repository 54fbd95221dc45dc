"""Taking a backup of one collector: only what is not there yet, each package proven as it comes."""

from __future__ import annotations

import re
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from usage_collector.backup import planning
from usage_collector.backup.index import COPY, NAME, Index, Stored, encode, first_whole
from usage_collector.backup.sealing import SUFFIX
from usage_collector.backup.stores import PACKAGES
from usage_collector.errors import Damaged, InvalidInput, NotFound, PeerUnavailable
from usage_collector.packages import Package, Trust, file_name, key_id, link, read_public_keys
from usage_collector.packages.checking import Check
from usage_collector.peers import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from usage_collector.backup.planning import Piece
    from usage_collector.backup.sealing import Key
    from usage_collector.backup.stores import Place, Store
    from usage_collector.packages import FileReport
    from usage_collector.peers import Ledger, Peer, Status

_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Taken:
    """What a backup came to; ``new`` events and ``fetched`` bytes of this run, the rest in all."""

    collector: str
    place: str
    index: Index
    new: int
    fetched: int
    merged: int
    pruned: int
    notes: tuple[str, ...]


@dataclass(slots=True)
class Order:
    """How backups are taken: where to, encrypted with what, what is let go, and the clock."""

    place: Place
    key: Key | None
    keep_before: datetime
    now: Callable[[], datetime]
    say: Callable[[str, int, int], None] = lambda _what, _done, _total: None
    largest: int = planning.LARGEST


def take(order: Order, peer: Peer) -> Taken:
    """Bring the backup of one collector up to what it holds now.

    Raises:
        Conflict: another backup is under way, or the collector was put back to an older state.
        PeerUnavailable: the collector does not answer, or what it sent does not verify.
        DeliveryFailed, StorageUnavailable: the place takes no more. What was there stays.
    """
    status = peer.status()
    store = order.place.of(_plain(status.collector))
    with store.lock(), tempfile.TemporaryDirectory(prefix="usage-backup-") as spool:
        index = load(store) or Index(collector=status.collector, zone=status.zone)
        given = order.key.id if order.key else None
        if index.packages and index.key not in (None, given):
            raise InvalidInput(
                f"the backup in {store.name} is encrypted with key {index.key}, not {given}",
                "give that key (--key-file), or another place",
            )
        run = _Run(order, peer, store, index, Path(spool), _proofs(peer, Path(spool)))
        run.sweep()
        run.fetch(status)
        run.complete(status)
        run.merge(status)
        pruned = run.prune(status)
        return Taken(
            collector=status.collector,
            place=store.name,
            index=run.index,
            new=run.new,
            fetched=run.fetched,
            merged=run.merged,
            pruned=pruned,
            notes=tuple(run.notes),
        )


def load(store: Store) -> Index | None:
    """The index of a backup; None when there is none. `Damaged` when no copy is whole."""
    with suppress(NotFound):
        return first_whole([store.read(NAME), store.read(COPY)])
    return None


def save(store: Store, index: Index) -> None:
    """Keeps the index, twice."""
    data = encode(index)
    for name in (NAME, COPY):
        store.write(name, [data])


@dataclass(slots=True)
class _Run:
    order: Order
    peer: Peer
    store: Store
    index: Index
    spool: Path
    proofs: Mapping[str, bytes]
    new: int = 0
    fetched: int = 0
    merged: int = 0
    notes: list[str] = field(default_factory=list)

    def sweep(self) -> None:
        """Remove what a run that was ended left, and what the index no longer names."""
        self.store.remove(self.store.packages() - self.index.files)

    def fetch(self, status: Status) -> None:
        """Everything that is not there yet, ledger by ledger."""
        plans = [(one, planning.pieces(one, self.index.of(one.id), self.order.largest))
                 for one in status.ledgers]  # fmt: skip
        total = sum(piece.last - piece.first + 1 for _, wanted in plans for piece in wanted)
        for ledger, wanted in plans:
            unreadable = _joined(
                run for piece in wanted for run in self._piece(ledger, piece, total)
            )
            if unreadable:
                known = self.index.unreadable.get(ledger.id, [])
                told = {**self.index.unreadable, ledger.id: _joined({*known, *unreadable})}
                self.index = msgspec.structs.replace(self.index, unreadable=told)
            if unreadable or not ledger.readable:
                runs = ", ".join(f"{a} to {b}" for a, b in unreadable) or "all of it"
                self.notes.append(f"ledger {ledger.id} cannot be read there: {runs}")

    def _piece(self, ledger: Ledger, piece: Piece, total: int) -> list[tuple[int, int]]:
        """Fetch a piece; where a damaged ledger does not give it, what it gives of it."""
        have = self.index.of(ledger.id)
        replaced = planning.superseded(piece, have)
        try:
            stored = self._stored(ledger, piece, have, patient=not ledger.damaged)
        except (Refused, NotFound):
            if not ledger.damaged:
                raise
            smaller = planning.halves(piece)
            if not smaller:
                return [(piece.first, piece.last)]
            return [run for half in smaller for run in self._piece(ledger, half, total)]
        self._commit([stored], replaced)
        self.new += stored.count - sum(one.count for one in replaced)
        self.order.say(ledger.id, self.new, total)
        return []

    def complete(self, status: Status) -> None:
        """All that the collector told of is there, so what it told is true of the backup."""
        self.index = msgspec.structs.replace(
            self.index.told(status),
            taken=self.order.now(),
            key=self.order.key.id if self.order.key else None,
        )
        save(self.store, self.index)

    def merge(self, status: Status) -> None:
        """Neighbours become one package, which must begin and end in the chain as they did."""
        for ledger in status.ledgers:
            for piece in self._small(ledger):
                have = self.index.of(ledger.id)
                replaced = planning.superseded(piece, have)
                stored = self._stored(ledger, piece, have)
                if stored.after != replaced[-1].after:
                    raise Damaged(
                        f"positions {piece.first} to {piece.last} of ledger {ledger.id} are others "
                        "than those in the backup",
                        "nothing was changed; compare the two with usage-collector verify",
                    )
                self._commit([stored], replaced)
                self.merged += len(replaced)

    def _small(self, ledger: Ledger) -> Iterator[Piece]:
        while found := planning.merges(ledger, self.index.of(ledger.id), self.order.largest):
            yield from found

    def prune(self, status: Status) -> int:
        """Let go what is past its time; how many packages that were."""
        number = 0
        for ledger in status.ledgers:
            gone = planning.prunable(ledger, self.index.of(ledger.id), self.order.keep_before)
            if gone:
                self._commit([], gone)
                number += len(gone)
        return number

    def _commit(self, new: Sequence[Stored], replaced: Sequence[Stored]) -> None:
        """The index first: what it no longer names may go, what it names is there."""
        self.index = self.index.with_packages(new, replaced)
        save(self.store, self.index)
        self.store.remove({one.file for one in replaced} - self.index.files)

    def _stored(
        self, ledger: Ledger, piece: Piece, have: Sequence[Stored], *, patient: bool = True
    ) -> Stored:
        """Fetches a package, proves it, joins it to what is there, keeps it."""
        path = self.spool / "package"
        self.peer.positions(ledger.id, piece.first, piece.last, path, patient=patient)
        report = self._proved(ledger, piece, path)
        _join(have, piece, report, path)
        self.fetched += report.seal.size
        name = f"{PACKAGES}/{report.name}{SUFFIX if self.order.key else ''}"
        with path.open("rb") as file:
            key = self.order.key
            size = self.store.write(name, key.seal(file) if key else _chunks(file))
        chain = report.contents.chain
        assert chain  # noqa: S101 - _proved looked
        return Stored(
            file=name,
            ledger=ledger.id,
            first=piece.first,
            last=piece.last,
            before=chain.before.hex(),
            after=chain.after.hex(),
            bytes=report.seal.size,
            sha256=report.seal.sha256,
            stored_bytes=size,
            taken=self.order.now(),
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


def _join(have: Sequence[Stored], piece: Piece, report: FileReport, path: Path) -> None:
    """`Damaged` when a package is not the continuation of what is there."""
    chain = report.contents.chain
    assert chain  # noqa: S101 - a package of positions
    differs = False
    for one in have:
        if one.last == piece.first - 1:
            differs |= one.after != chain.before.hex()
        if piece.first <= one.last < piece.last:
            differs |= one.after != _hash_at(path, one.last).hex()
        if one.last == piece.last:
            differs |= one.after != chain.after.hex()
    if differs:
        raise Damaged(
            f"positions {piece.first} to {piece.last} of ledger {report.contents.ledger} do not "
            "join what is in the backup: one of the two was altered",
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


def _joined(runs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same positions in as few runs as can be."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(runs):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def _proofs(peer: Peer, spool: Path) -> dict[str, bytes]:
    path = spool / "proof.pem"
    path.write_bytes(peer.proof_keys())
    return {key_id(key): key for key in read_public_keys(path)}


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _plain(name: str) -> str:
    """A collector's name as that of a folder."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "_"
