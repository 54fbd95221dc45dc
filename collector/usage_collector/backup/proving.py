"""Proving a backup: restored into scratch space, read back, compared with its original."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from usage_collector.backup import delivered
from usage_collector.backup.catalog import load_base, save
from usage_collector.backup.fetching import proofs
from usage_collector.backup.index import Proof
from usage_collector.backup.receiving import receive
from usage_collector.backup.returning import Source, archive
from usage_collector.backup.sealing import Unsealed
from usage_collector.errors import (
    DeliveryFailed,
    NotFound,
    PeerUnavailable,
    StorageUnavailable,
    UsageError,
)
from usage_collector.ledger import Ledgers
from usage_collector.packages import Package, link
from usage_collector.peers import Refused
from usage_collector.periods import microseconds
from usage_collector.receipts import SENT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from usage_collector.backup.index import Index, Stored
    from usage_collector.backup.sealing import Key
    from usage_collector.backup.stores import Store
    from usage_collector.ledger import Reader
    from usage_collector.peers import Peer

_AWAY = (PeerUnavailable, DeliveryFailed, StorageUnavailable)
"""Trouble that says nothing of the backup."""


@dataclass(slots=True)
class Order:
    """A backup to be proven, and what with; without ``peer`` nothing is compared with it."""

    store: Store
    key: Key | None
    now: Callable[[], datetime]
    peer: Peer | None = None
    say: Callable[[int], None] = lambda _: None
    findings: list[str] = field(default_factory=list)
    delivered: int = 0


def prove(order: Order) -> Index:
    """Restore everything into scratch space and read it back; the index with its `Proof`.

    What came since the last scheduled backup changes meanwhile, and was proven as it came.
    Trouble with the data is a finding. The proof is kept in the backup, unless another backup of
    the same collector is under way meanwhile.

    Raises:
        NotFound: there is no backup.
        Conflict: a backup is under way.
        PeerUnavailable, DeliveryFailed: the collector or the place does not answer.
        StorageUnavailable: there is not enough scratch space. Nothing is known of the backup then.
    """
    index = load_base(order.store)
    if index is None:
        raise NotFound(f"there is no backup in {order.store.name}", "take one first")
    source = Source(order.store, index, order.key, order.say)
    with tempfile.TemporaryDirectory(prefix="usage-proof-") as folder:
        scratch = Path(folder)
        keys = proofs(order.peer, scratch) if order.peer else None
        listed = delivered.files(source, keys, order.findings)
        events = sum(
            _ledger(order, source, [one for one in listed if one.ledger == ledger], ledger, scratch)
            for ledger in dict.fromkeys(one.ledger for one in index.packages)
        )
    _compare_sent(order, index)
    proof = Proof(order.now(), not order.findings, events, order.findings, order.delivered)
    with order.store.lock():
        newest = load_base(order.store) or index
        proven = msgspec.structs.replace(newest, verified=proof)
        save(order.store, proven)
    return proven


def _ledger(
    order: Order, source: Source, listed: Sequence[delivered.File], ledger: str, scratch: Path
) -> int:
    """Restores one ledger as a collector would, reads it back; how many events it has.

    ``listed`` is what was delivered of it.
    """
    index = source.index
    folder = scratch / ledger
    folder.mkdir()
    ledgers = Ledgers(folder, index.collector, index.zone, lambda: microseconds(order.now()))
    try:
        body = Unsealed(archive(source, ledger))
        done = receive(ledgers, ledger, body, microseconds(order.now()))
        for first, last in done.lost:
            if not _known(index, ledger, first, last):
                order.findings.append(f"ledger {ledger}: positions {first} to {last} are missing")
        have = index.of(ledger)
        with ledgers.reader(ledger) as reader:
            _follow(order, reader, have, done.first)
            for file in listed:
                _compare_delivered(order, reader, index, file)
        _compare_live(order, have[-1], scratch)
        return msgspec.structs.replace(index, packages=have).events
    except UsageError as error:
        if isinstance(error, _AWAY) and not isinstance(error, Refused):
            raise
        order.findings.append(f"ledger {ledger}: {error.detail}")
        return 0
    finally:
        ledgers.close()


def _follow(order: Order, reader: Reader, have: Sequence[Stored], first: int) -> None:
    """The chain from position ``first`` on, event by event, against what the packages said."""
    head, position = reader.hash_at(first - 1), first - 1
    for one in have:
        if one.first > position + 1:
            head, position = reader.hash_at(one.first - 1), one.first - 1
        for raw in reader.events(position + 1, one.last):
            head, position = link(head, hashlib.sha256(raw).digest()), position + 1
        if head.hex() != one.after:
            order.findings.append(f"ledger {one.ledger}: the chain at {position} is another")


def _compare_delivered(order: Order, reader: Reader, index: Index, file: delivered.File) -> None:
    """Whether the restored ledger gives what was delivered; what was let go by its age cannot."""
    have = index.of(file.ledger)
    if file.first < have[0].first or _touched(index, file):
        return
    try:
        if delivered.same(reader, file):
            order.delivered += 1
            return
        problem = "was delivered with another content than the backup has"
    except UsageError as error:
        problem = f"was delivered, and cannot be made of the backup: {error.detail}"
    order.findings.append(f"{file.period}: {file.name} {problem}")


def _touched(index: Index, file: delivered.File) -> bool:
    """Whether the collector itself could not read some of it: that is told elsewhere."""
    unreadable = index.unreadable.get(file.ledger, [])
    return any(a <= file.last and file.first <= b for a, b in unreadable)


def _known(index: Index, ledger: str, first: int, last: int) -> bool:
    return any(a <= first and last <= b for a, b in index.unreadable.get(ledger, []))


def _compare_live(order: Order, newest: Stored, scratch: Path) -> None:
    """Whether the collector has the same chain where the backup ends."""
    if order.peer is None:
        return
    path = scratch / "last"
    try:
        order.peer.positions(newest.ledger, newest.last, newest.last, path)
    except NotFound:
        return  # the ledger is gone, or purged up to there: the backup is all there is
    with path.open("rb") as file:
        chain = Package(file, {}).contents.chain
    if chain is None or chain.after.hex() != newest.after:
        order.findings.append(
            f"ledger {newest.ledger}: the collector has another chain at {newest.last}"
        )


def _compare_sent(order: Order, index: Index) -> None:
    """Every position that was sent is in the backup, unless it was let go by its age."""
    sent = [cut for cut in index.periods if any(one.state in SENT for one in cut.receipts)]
    for cut, file in ((one, file) for one in sent for file in one.files):
        have = index.of(file.ledger)
        begin, end = (have[0].first, have[-1].last) if have else (0, 0)
        known = _known(index, file.ledger, file.first, file.last)
        if file.last >= begin and file.last > end and not known:
            order.findings.append(
                f"{cut.period}: positions {file.first} to {file.last} of ledger {file.ledger} "
                "were sent and are not in the backup"
            )
