"""Following a collector: what is new is in the tail of its backup within seconds.

The scheduled backup fetches the same positions again, in larger packages, and proves all of them
together; what it holds the tail lets go. The two write different files and never wait for each
other. Requests are few and small: one at a time, and none while there is nothing new.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from usage_collector.backup import planning
from usage_collector.backup.catalog import load_base, load_tail, save_tail
from usage_collector.backup.fetching import Fetcher, proofs
from usage_collector.backup.index import Index
from usage_collector.backup.stores import TAIL_FOLDER, Part
from usage_collector.backup.telling import tell
from usage_collector.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from datetime import datetime

    from usage_collector.backup.index import Stored
    from usage_collector.backup.planning import Piece
    from usage_collector.backup.sealing import Key
    from usage_collector.backup.stores import Place, Store
    from usage_collector.peers import Ledger, Peer, Status

LOOK_SECONDS = 30.0
"""How often the scheduled backup's index is read again, an unchanged tail's written, and the
collector told."""


@dataclass(frozen=True, slots=True)
class Route:
    """From which collector to which place, encrypted with what; ``now`` dates the packages."""

    peer: Peer
    place: Place
    key: Key | None
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Step:
    """What one look came to: events that are new in the backup, and the bytes that were fetched."""

    collector: str
    events: int
    bytes: int


def follow(route: Route) -> Generator[Step, None, None]:
    """Each step brings the tail level with the collector as it was when the step began.

    The tail is this process's alone until the iterator is closed.

    Raises:
        Conflict: another process follows that collector, it was put back to an older state, or the
            backup is that of another one.
        PeerUnavailable: it does not answer, or what it sent does not verify.
        DeliveryFailed, StorageUnavailable: the place takes no more. What was there stays.
        InvalidInput: the backup is encrypted with another key.
    """
    status = route.peer.status()
    store = route.place.of(status.collector)
    with store.lock(Part.TAIL), tempfile.TemporaryDirectory(prefix="usage-ship-") as spool:
        tail = _Tail(route, store, Path(spool), status)
        tail.sweep()
        while True:
            yield tail.step()


class _Tail:
    def __init__(self, route: Route, store: Store, spool: Path, status: Status) -> None:
        self._route = route
        self._store = store
        self._key = route.key.id if route.key else None
        found = load_tail(store) or Index(collector=status.collector, zone=status.zone)
        found = found.belonging(status.collector, store.name)
        self._index = found.encrypted(self._key, store.name)
        self._ends: dict[str, Stored] = {}
        self._gone: set[str] = set()
        self._looked = self._written = self._told = time.monotonic() - LOOK_SECONDS
        keys = proofs(route.peer, spool)
        self._fetcher = Fetcher(route.peer, store, route.key, spool, keys, route.now, TAIL_FOLDER)

    def sweep(self) -> None:
        """Remove what a process that was ended left."""
        self._store.remove(self._store.files(TAIL_FOLDER) - self._index.files)

    def step(self) -> Step:
        # The scheduled backup first: it must not be ahead of what the collector says then.
        self._look()
        began, status = self._route.now(), self._route.peer.status()
        # What cannot be read as it is takes many attempts: the scheduled backup makes them.
        ledgers = [one for one in status.ledgers if one.readable and not one.damaged]
        before = sum(self._end(one) for one in ledgers)
        fetched = [one for ledger in ledgers for one in self._new(ledger)]
        new = sum(self._end(one) for one in ledgers) - before
        fetched += [one for ledger in ledgers for one in self._merged(ledger)]
        told = self._index.told(status)
        if fetched or told != self._index or _due(self._written):
            self._index = msgspec.structs.replace(told, taken=began)
            self._save()
        self._tell()
        return Step(status.collector, new, sum(one.bytes for one in fetched))

    def _tell(self) -> None:
        """Leave a note for people with the collector; the tail is as good without."""
        if _due(self._told):
            self._told = time.monotonic()
            whole = self._index.with_packages(self._ends.values())
            with suppress(UsageError):
                tell(self._route.peer, self._store.name, whole, continuous=True)

    def _look(self) -> None:
        """See what the scheduled backup holds by now; the tail lets go of that."""
        if not _due(self._looked):
            return
        base = load_base(self._store)
        have = base.encrypted(self._key, self._store.name).packages if base else []
        self._ends = {one.ledger: one for one in have}
        rest = planning.trimmed(self._index.packages, have)
        if len(rest) < len(self._index.packages):
            self._replace([], [one for one in self._index.packages if one not in rest])
            self._save()
        self._looked = time.monotonic()

    def _new(self, ledger: Ledger) -> list[Stored]:
        """Fetch what is not there yet."""
        wanted = planning.pieces(ledger, self._have(ledger))
        found = []
        for number, piece in enumerate(wanted, 1):
            found.append(self._fetch(ledger, piece))
            if number < len(wanted) - 1:
                # A long way that is cut short is not gone twice.
                self._save()
        return found

    def _merged(self, ledger: Ledger) -> list[Stored]:
        """Fetch small neighbours again as one: at most one such package in a step."""
        found = planning.merges(ledger, self._index.of(ledger.id))[:1]
        return [self._fetch(ledger, piece) for piece in found]

    def _fetch(self, ledger: Ledger, piece: Piece) -> Stored:
        stored = self._fetcher.fetch(ledger, piece, self._have(ledger))
        old = planning.superseded(piece, self._index.of(ledger.id))
        self._replace([stored], old)
        return stored

    def _have(self, ledger: Ledger) -> list[Stored]:
        """What there is of a ledger, the package that reaches furthest last."""
        there = self._index.of(ledger.id)
        end = self._ends.get(ledger.id)
        return sorted([*there, *([end] if end else [])], key=lambda one: one.last)

    def _end(self, ledger: Ledger) -> int:
        """Up to where a ledger is there."""
        have = self._have(ledger)
        return have[-1].last if have else ledger.first - 1

    def _replace(self, new: list[Stored], old: list[Stored]) -> None:
        self._index = self._index.with_packages(new, old)
        self._gone |= {one.file for one in old}

    def _save(self) -> None:
        """The index first: what it no longer names may go, what it names is there."""
        save_tail(self._store, self._index)
        self._store.remove(self._gone - self._index.files)
        self._gone.clear()
        self._written = time.monotonic()


def _due(since: float) -> bool:
    return time.monotonic() - since >= LOOK_SECONDS
