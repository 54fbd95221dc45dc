"""Bringing a ledger back from its packages, as a closed one beside the live one.

Nothing is rewound and no position is used twice: a ledger appears whole or not at all, and the
files of a damaged one stay where they are.
"""

from __future__ import annotations

import logging
import os
import shutil
import uuid
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from usage_collector.errors import Conflict, Damaged, InvalidInput, StorageUnavailable, UsageError
from usage_collector.ledger.catalog import About, Closing
from usage_collector.ledger.cuts import Cut  # noqa: TC001 - msgspec reads it
from usage_collector.ledger.ledgers import head_of, open_reader
from usage_collector.ledger.rebuilding import Rebuild
from usage_collector.ledger.salvage import stretches
from usage_collector.packages import Package, Trust

if TYPE_CHECKING:
    from collections.abc import Iterable

    from usage_collector.ledger.ledgers import Ledgers, Status
    from usage_collector.ledger.reader import Reader
    from usage_collector.packages.scanner import Readable

_log = logging.getLogger(__name__)

_AS_EXPORTED = "give it as it was exported"
_LEAVE_BYTES = 64 * 1000 * 1000
_LEAVE_SHARE = 8
"""A restore leaves so many bytes, or this part of a small disk, to the events that come."""


class Origin(msgspec.Struct, frozen=True):
    """The ledger as it was backed up: when it began (µs), whose it was, and what was cut of it."""

    id: str
    began: int
    collector: str
    zone: str
    cuts: list[Cut] = []


@dataclass(frozen=True, slots=True)
class Part:
    """A package to be read once; ``received`` (µs): when its events were there at the latest."""

    name: str
    file: Readable
    received: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of it. ``came_back`` and ``lost`` are runs of positions, first and last.

    ``state`` is `restored`, `completed` (a damaged one was) or `present` (nothing was to be done).
    ``salvaged`` were read from the damaged ledger itself.
    """

    ledger: str
    state: str
    first: int
    last: int
    came_back: tuple[tuple[int, int], ...] = ()
    salvaged: tuple[tuple[int, int], ...] = ()
    lost: tuple[tuple[int, int], ...] = ()
    periods: tuple[str, ...] = ()


def restore(ledgers: Ledgers, origin: Origin, parts: Iterable[Part], now: int) -> Restored:
    """Bring the ledger back, or complete the damaged one of that id; ``now`` in µs.

    Raises:
        Conflict: it is the live one, or cut differently here.
        Damaged: a package is not what was signed, or they do not join.
        InvalidInput: the packages are of another ledger, or cannot be taken up.
        StorageUnavailable: the disk has no room for it.
    """
    _check_id(origin.id)
    known = next((one for one in ledgers.all() if one.id == origin.id), None)
    if known and known.live:
        raise Conflict(
            f"ledger {origin.id} is the live one here", "what it holds needs no restoring"
        )
    if known and known.readable and not known.damaged:
        for _ in parts:
            pass
        periods = merge_cuts(ledgers, origin)
        return Restored(known.id, "present", known.first, known.last, periods=periods)
    hidden = ledgers.catalog.hidden(origin.id)
    try:
        with ExitStack() as stack:
            rebuild = Rebuild(hidden, origin.id, origin.began, lambda: _room(ledgers))
            stack.callback(rebuild.close)
            work = _Work(rebuild, _old(ledgers, known, stack))
            for part in parts:
                work.take(part)
            done = work.finish(_known_end(ledgers, origin, known), "completed" if known else "")
        # A cut first: what is in a period already must not be cut once more.
        periods = merge_cuts(ledgers, origin)
        _install(ledgers, origin, done, now)
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    return replace(done, periods=periods)


class _Work:
    """Packages into a rebuild, and what a damaged ledger can still give in between."""

    def __init__(self, rebuild: Rebuild, old: Reader | None) -> None:
        self._rebuild = rebuild
        self._old = old
        self._came_back: list[tuple[int, int]] = []
        self._salvaged: list[tuple[int, int]] = []

    def take(self, part: Part) -> None:
        rebuild = self._rebuild
        try:
            package = Package(part.file, {})
            contents, chain = package.contents, package.contents.chain
            if chain is None or contents.ledger != rebuild.ledger:
                raise InvalidInput(
                    f"{part.name} holds no positions of ledger {rebuild.ledger}",
                    "give packages of that ledger, as a backup holds them",
                )
            self._salvage(chain.first - 1)
            first = max(chain.first, rebuild.last + 1)
            head = rebuild.extend(chain.first, chain.before, package.events(), part.received)
            finding = Trust().judge(part.name, package.close())
            if head != chain.after or finding:
                what = finding.detail if finding else "its events are not those of its chain"
                raise InvalidInput(f"{part.name}: {what}", _AS_EXPORTED)
        except Damaged as error:
            raise InvalidInput(f"{part.name}: {error.detail}", _AS_EXPORTED) from None
        if first <= chain.last:
            _note(self._came_back, first, chain.last)

    def finish(self, end: int, state: str) -> Restored:
        """``end``: the last position that it is known to have had."""
        rebuild = self._rebuild
        self._salvage(end)
        if not rebuild.last:
            raise InvalidInput(
                f"nothing of ledger {rebuild.ledger} was given",
                "give its packages, the first first",
            )
        rebuild.finish()
        lost = [*rebuild.holes, *([(rebuild.last + 1, end)] if end > rebuild.last else [])]
        return Restored(
            ledger=rebuild.ledger,
            state=state or "restored",
            first=rebuild.first,
            last=rebuild.last,
            came_back=tuple(self._came_back),
            salvaged=tuple(self._salvaged),
            lost=tuple(lost),
        )

    def _salvage(self, end: int) -> None:
        """What the damaged ledger gives of the positions up to ``end`` that are still missing."""
        if self._old is None:
            return
        with suppress(UsageError):
            first, last = self._old.bounds()
            first, last = max(first, self._rebuild.last + 1), min(last, end)
            for start, stop in stretches(self._old, first, last):
                head = self._old.hash_at(start - 1)
                for block in self._old.blocks(start, stop):
                    begin = max(block.first, start)
                    until = min(block.first + block.events - 1, stop)
                    raws = self._old.events(begin, until)
                    head = self._rebuild.extend(begin, head, raws, block.received)
                    _note(self._salvaged, begin, until)


def merge_cuts(ledgers: Ledgers, origin: Origin) -> tuple[str, ...]:
    """Bring back what was cut of the ledger and who got it; the periods that this changed.

    A cut that names the ledger already stays as it is, but for receipts that it lacks.
    """
    changed = []
    with ledgers.cuts.lock:
        for cut in origin.cuts:
            if origin.id not in cut.ends:
                continue
            known = ledgers.cuts.get(cut.period)
            merged = _merged(known, cut, origin.id)
            if merged != known:
                ledgers.cuts.save(merged)
                changed.append(cut.period)
    return tuple(changed)


def _merged(known: Cut | None, cut: Cut, ledger: str) -> Cut:
    files = [file for file in cut.files if file.ledger == ledger]
    if known is None:
        return msgspec.structs.replace(cut, ends={ledger: cut.ends[ledger]}, files=files)
    if ledger not in known.ends:
        ends = {ledger: cut.ends[ledger], **known.ends}
        known = msgspec.structs.replace(known, ends=ends, files=[*files, *known.files])
    told = [(one.state, one.by, one.files) for one in known.receipts]
    more = [one for one in cut.receipts if (one.state, one.by, one.files) not in told]
    if not more:
        return known
    # The newest word of each destination counts, so they stand in the order of time.
    receipts = sorted([*more, *known.receipts], key=lambda one: one.at)
    return msgspec.structs.replace(known, receipts=receipts)


def _install(ledgers: Ledgers, origin: Origin, done: Restored, now: int) -> None:
    reason = "; ".join(
        f"positions {runs} {what}"
        for runs, what in (
            (_spans(done.came_back), "came back from a backup"),
            (_spans(done.salvaged), "were read from the damaged files"),
            (_spans(done.lost), "are lost for good"),
        )
        if runs
    )
    lossy, completed = bool(done.lost), done.state == "completed"
    before = ledgers.catalog.closing(origin.id)
    # Of a damaged one its own files tell the end; a backup may have been taken before it.
    unsure = before.unsure if completed and before else True
    closing = Closing(now, reason, lossy, restored=True, lost=list(done.lost), unsure=unsure)
    if completed:
        ledgers.catalog.replace(origin.id, closing)
    else:
        about = About(origin.id, origin.began, origin.collector, origin.zone)
        ledgers.catalog.install(about, closing)
    ledgers.returned(origin.id)
    level = logging.WARNING if lossy else logging.INFO
    _log.log(level, "ledger %s: %s", origin.id, reason)


def _spans(runs: Iterable[tuple[int, int]]) -> str:
    return ", ".join(f"{first} to {last}" for first, last in runs)


def _check_id(ledger: str) -> None:
    try:
        known = str(uuid.UUID(ledger)) == ledger
    except ValueError:
        known = False
    if not known:
        raise InvalidInput(f"{ledger[:60]!r} is no ledger's id", "see GET /v1/periods for ids")


def _old(ledgers: Ledgers, known: Status | None, stack: ExitStack) -> Reader | None:
    """The damaged ledger, as far as it can be opened; it is known to be damaged already."""
    if known:
        with suppress(UsageError):
            folder = ledgers.catalog.path(known.id)
            return stack.enter_context(open_reader(folder, known.id, lambda _: None))
    return None


def _known_end(ledgers: Ledgers, origin: Origin, known: Status | None) -> int:
    head = head_of(ledgers.catalog.path(origin.id)) if known else None
    ends = [cut.ends.get(origin.id, 0) for cut in origin.cuts]
    known_end = max(head.position if head else 0, known.last if known else 0)
    return max(known_end, ledgers.cuts.end(origin.id), *ends)


def _room(ledgers: Ledgers) -> None:
    disk = os.statvfs(ledgers.folder)
    leave = min(_LEAVE_BYTES, disk.f_blocks * disk.f_frsize // _LEAVE_SHARE)
    if disk.f_bavail * disk.f_frsize < leave:
        raise StorageUnavailable(
            "the disk has no room for the ledger that comes back", "grow the data volume"
        )


def _note(runs: list[tuple[int, int]], first: int, last: int) -> None:
    if runs and runs[-1][1] == first - 1:
        first = runs.pop()[0]
    runs.append((first, last))
