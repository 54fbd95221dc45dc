"""Taking a backup of one collector: only what is not there yet, each package proven as it comes."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from usage_collector.backup import delivered, planning
from usage_collector.backup.catalog import load_base, load_tail, save, save_tail
from usage_collector.backup.fetching import Fetcher, adopted, proofs
from usage_collector.backup.index import Index, Kept
from usage_collector.backup.mending import broken
from usage_collector.backup.planning import Piece
from usage_collector.backup.stores import MANIFESTS, PACKAGES, TAIL_FOLDER, Part
from usage_collector.errors import Conflict, Damaged, NotFound
from usage_collector.peers import Refused, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from usage_collector.backup.index import Stored
    from usage_collector.backup.sealing import Key
    from usage_collector.backup.stores import Place, Store
    from usage_collector.peers import Ledger, Peer


_MENDED = "was not what was taken, and was fetched again"
_GONE = "the collector does not have it any more"


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
        Conflict: another backup is under way, the collector was put back to an older state, or the
            backup is that of another one.
        PeerUnavailable: the collector does not answer, or what it sent does not verify.
        DeliveryFailed, StorageUnavailable: the place takes no more. What was there stays.
    """
    status = peer.status()
    store = order.place.of(status.collector)
    with store.lock(), tempfile.TemporaryDirectory(prefix="usage-backup-") as spool:
        index = load_base(store) or Index(collector=status.collector, zone=status.zone)
        index = index.belonging(status.collector, store.name)
        index = index.encrypted(order.key.id if order.key else None, store.name)
        folder = Path(spool)
        keys = proofs(peer, folder)
        fetcher = Fetcher(peer, store, order.key, folder, keys, order.now, PACKAGES)
        run = _Run(order, store, index, fetcher)
        run.sweep()
        run.adopt(status)
        run.fetch(status)
        run.remember(status)
        run.complete(status)
        # Takes as long as all of it takes to be read, which nothing new may wait for.
        run.mend(status)
        run.merge(status)
        pruned = run.prune(status)
    _tidy(order.place.of(status.collector), run.index)
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


def _tidy(store: Store, index: Index) -> None:
    """Let go of the tail what the backup holds, unless somebody is at work there."""
    with suppress(Conflict, Damaged):
        if load_tail(store) is None:
            return
        with store.lock(Part.TAIL):
            tail = load_tail(store)
            if tail is None:
                return
            rest = planning.trimmed(tail.packages, index.packages)
            save_tail(store, msgspec.structs.replace(tail, packages=rest))
            store.remove(store.files(TAIL_FOLDER) - {one.file for one in rest})


@dataclass(slots=True)
class _Run:
    order: Order
    store: Store
    index: Index
    fetcher: Fetcher
    new: int = 0
    fetched: int = 0
    merged: int = 0
    notes: list[str] = field(default_factory=list)

    def sweep(self) -> None:
        """Remove what a run that was ended left, and what the index no longer names."""
        for folder in (PACKAGES, MANIFESTS):
            self.store.remove(self.store.files(folder) - self.index.files)

    def mend(self, status: Status) -> None:
        """Fetch again what a proof found broken; what the collector does not give is named."""
        there = {ledger.id: ledger for ledger in status.ledgers}
        for one in broken(self.store, self.index, self.order.key):
            try:
                again = self._manifest(one) if isinstance(one, Kept) else self._again(one, there)
                said = _MENDED if again else f"was not what was taken: {_GONE}"
            except (Refused, NotFound, Damaged) as error:
                said = f"was not what was taken: {error.detail}"
            self.notes.append(f"{one.file} {said}")

    def _again(self, one: Stored, there: Mapping[str, Ledger]) -> bool:
        """Fetch a package again, if the collector still has it."""
        ledger = there.get(one.ledger)
        if ledger is None or not ledger.readable or one.first < ledger.first:
            return False
        self._commit([self._fetched(ledger, Piece(one.first, one.last), patient=False)], [one])
        return True

    def _manifest(self, one: Kept) -> bool:
        """The same for a manifest, of which the collector may have a newer one by now."""
        found = delivered.fetch(self.fetcher, one.period, None)
        if found:
            manifests = [found if old is one else old for old in self.index.manifests]
            self.index = msgspec.structs.replace(self.index, manifests=manifests)
            save(self.store, self.index)
        return found is not None

    def adopt(self, status: Status) -> None:
        """Take over from the tail what the collector cannot give any more."""
        try:
            tail = load_tail(self.store)
        except Damaged as error:
            # Whoever writes it says so too; what the collector has is not held up by that.
            self.notes.append(f"{error.detail}: {error.hint}")
            return
        if tail is None:
            return
        there = {ledger.id: ledger for ledger in status.ledgers}
        for ledger in dict.fromkeys(one.ledger for one in tail.packages):
            wanted = planning.adoptable(there.get(ledger), self.index.of(ledger), tail.of(ledger))
            if wanted:
                told = Status(tail.collector, tail.ledgers, tail.periods, tail.zone)
                self.index = self.index.told(told)
            for one in wanted:
                self._adopt(one)

    def _adopt(self, one: Stored) -> None:
        """Keep a package of the tail; a broken one is named, and holds up nothing else."""
        have = self.index.of(one.ledger)
        replaced = planning.superseded(Piece(one.first, one.last), have)
        try:
            stored = adopted(self.fetcher, self.index, one, have)
        except Damaged as error:
            self.notes.append(f"{error.detail}, and the collector does not have it any more")
            return
        self._commit([stored], replaced)
        self.new += stored.count - sum(old.count for old in replaced)

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
            stored = self._fetched(ledger, piece, patient=not ledger.damaged)
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

    def _fetched(self, ledger: Ledger, piece: Piece, *, patient: bool = True) -> Stored:
        have = self.index.of(ledger.id)
        stored = self.fetcher.fetch(ledger, piece, have, patient=patient)
        self.fetched += stored.bytes
        return stored

    def remember(self, status: Status) -> None:
        """Keep the manifests of periods of which there is news: they say what was delivered."""
        before = {cut.period: cut for cut in self.index.periods}
        kept = {one.period: one for one in self.index.manifests}
        for cut in status.periods:
            if cut == before.get(cut.period) and cut.period in kept:
                continue
            try:
                found = delivered.fetch(self.fetcher, cut.period, kept.get(cut.period))
            except Refused as error:
                self.notes.append(error.detail)
                continue
            if found:
                kept[cut.period] = found
        manifests = [one for _, one in sorted(kept.items())]
        self.index = msgspec.structs.replace(self.index, manifests=manifests)

    def complete(self, status: Status) -> None:
        """All that the collector told of is there, so what it told is true of the backup."""
        told = self.index.told(status)
        self.index = msgspec.structs.replace(told, taken=self.order.now())
        save(self.store, self.index)

    def merge(self, status: Status) -> None:
        """Neighbours become one package, which must begin and end in the chain as they did."""
        for ledger in status.ledgers:
            for piece in self._small(ledger):
                have = self.index.of(ledger.id)
                replaced = planning.superseded(piece, have)
                stored = self._fetched(ledger, piece)
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


def _joined(runs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same positions in as few runs as can be."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(runs):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found
