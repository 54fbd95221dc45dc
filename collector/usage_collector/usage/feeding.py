"""This collector's ledgers, read into the day index behind the events' back."""

from __future__ import annotations

import logging
import math
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from usage_collector import events
from usage_collector.errors import NotFound, StorageUnavailable, UsageError
from usage_collector.ledger import stretches
from usage_collector.sessions import EARLY, SECOND, Place
from usage_collector.usage import coverage, fading
from usage_collector.usage.coverage import Kind, Trouble
from usage_collector.usage.fading import Faded
from usage_collector.usage.states import DAY, purged, state
from usage_collector.usage.store import Mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from usage_collector.ledger import Ledgers, Reader, Status
    from usage_collector.usage.states import State
    from usage_collector.usage.store import Store

_log = logging.getLogger(__name__)

SHARE = 0.08
"""Of the time, at most, while events come in; all of it once they stop."""
_BUSY_SECONDS = 0.5
_BREATH = 32
_AT_ONCE = 4096
_RESTORED = "restored "
_LATER = 60 * SECOND
_ROOM_SHARE = 32
"""The index leaves this part of the disk to the events."""


class Feeder:
    """Reads every ledger from where it was left to its end; `run` is called again and again.

    ``also`` says what else is not known of what this collector was told.
    While events are being stored it takes a small `SHARE` of the time, so that they hardly notice.
    """

    def __init__(self, ledgers: Ledgers, store: Store, collector: str, zone: str) -> None:
        self._ledgers = ledgers
        self._store = store
        self._collector = collector
        self._zone = zone
        self._lock = threading.Lock()
        self._hurry = threading.Event()
        self._stopped = threading.Event()
        self._positions: dict[str, int] = {}
        self._problems: dict[str, Trouble] = {}
        self._ends: dict[str, int] = {}
        self._restored: dict[str, str] = {}
        self._complete_at: int | None = None
        self._until = math.inf
        self.also: Callable[[], list[Trouble]] = list
        self.recall()

    def recall(self) -> None:
        """Go on from where the index says."""
        with self._lock:
            self._epoch = self._store.epoch
            self._positions = dict(self._store.rows("SELECT ledger, position FROM ledgers"))
            self._restored = {
                name.removeprefix(_RESTORED): value
                for name, value in self._store.rows("SELECT name, value FROM meta")
                if name.startswith(_RESTORED)
            }
            self._complete_at = None

    def counted_to(self, ledger: str) -> int:
        """Up to which position that ledger is in the index."""
        return self._positions.get(ledger, 0)

    def run(self, now: int) -> None:
        """Read what was stored up to ``now`` (µs)."""
        with self._lock:
            self._run(now)

    def catch_up(self, now: int, seconds: float) -> None:
        """The same at full speed, for somebody who waits for it for so long at most."""
        until = time.monotonic() + seconds
        self._hurry.set()
        try:
            if self._lock.acquire(timeout=seconds):
                try:
                    self._until = until
                    self._run(now)
                finally:
                    self._until = math.inf
                    self._lock.release()
        finally:
            self._hurry.clear()

    def behind(self) -> int:
        """How many stored events are not counted yet."""
        return sum(max(s.last - self.counted_to(s.id), 0) for s in self._ledgers.all())

    def is_complete(self, needed: int) -> bool:
        """Whether all that was stored up to the time ``needed`` (µs) is counted."""
        return self._complete_at is not None and self._complete_at >= needed

    def troubles(self, needed: int) -> list[Trouble]:
        """What is not known of this collector's own usage up to the time ``needed`` (µs)."""
        statuses = self._ledgers.all()
        open_ended = (one for one in statuses if (one.damaged or one.unsure) and one.readable)
        ends = {one.id: self._end(one) for one in open_ended}
        lost = dict(self._store.rows("SELECT ledger, count FROM lost"))
        faded = [fading.read(note).trouble for (note,) in self._store.rows(fading.NOTES)]
        found = [*coverage.of_ledgers(statuses, ends, lost), *faded, *self._problems.values()]
        if not self.is_complete(needed):
            why = "not all events are counted yet"
            found.append(Trouble(why, self._complete_at, kind=Kind.BEHIND))
        return [*found, *self.also()]

    def began(self) -> int:
        """From when on (µs) this collector was there: when its oldest ledger began."""
        return min(one.began for one in self._ledgers.all())

    def _run(self, now: int) -> None:
        statuses = self._ledgers.all()
        for status in statuses:
            self._look_for_restored(status, now)
            if self.counted_to(status.id) < status.last and not self._over():
                self._ledger(status, now)
        if all(self.counted_to(one.id) >= one.last for one in statuses):
            # Others may have run it a little later; a clock that ran ahead must hide no backlog.
            self._complete_at = max(now, min(self._complete_at or now, now + _LATER))

    def _look_for_restored(self, status: Status, now: int) -> None:
        """Read a ledger again of which more came back: what was counted of it changes nothing."""
        came_back = repr(status.lost)
        if status.restored and self._restored.get(status.id) != came_back:
            marks = Mark.again(status.id, came_back)
            self._store.fold([], now, own=True, marks=marks, epoch=self._epoch)
            self._restored[status.id] = came_back
            for known in (self._positions, self._problems, self._ends):
                known.pop(status.id, None)

    def _over(self) -> bool:
        """Whether reading has to stop."""
        return self._stopped.is_set() or time.monotonic() > self._until

    def _end(self, status: Status) -> int:
        """When (µs) the last event that can be read of a ledger, or could be, was received."""
        if status.id not in self._ends:
            self._ends[status.id] = status.began
            with suppress(UsageError), self._ledgers.reader(status.id) as reader:
                times = _received(reader, reader.bounds()[1])
                self._ends[status.id] = max([status.began, *times])
        return self._ends[status.id]

    def early(self) -> dict[int, int]:
        """How many events were dated later than they were received, by day of their receipt."""
        return dict(self._store.rows("SELECT day, count FROM early"))

    def stop(self) -> None:
        """Return from `run` soon, and read nothing more."""
        self._stopped.set()

    def _ledger(self, status: Status, now: int) -> None:
        try:
            with self._ledgers.reader(status.id) as reader:
                self._read(reader, status, now)
            self._problems.pop(status.id, None)
        except NotFound:
            _log.info("ledger %s was purged while it was read; it is read again", status.id)
        except UsageError as error:
            why = f"ledger {status.id}: {error}"
            old = self._problems.get(status.id)
            if old is None or old.reason != why:
                _log.error("usage cannot be counted; %s", why)
            self._problems[status.id] = Trouble(why, status.began)

    def _read(self, reader: Reader, status: Status, now: int) -> None:
        first = self.counted_to(status.id) + 1
        kept, last = reader.bounds()
        if first < kept:
            left = _purged(reader, first, kept - 1, self._place, self._zone)
            marks = self._faded(reader, status, kept)
            self._take(left, now, [*marks, Mark.ledger(status.id, kept - 1)])
            self._note(status.id, kept - 1)
            first = kept
        at = first
        for start, end in stretches(reader, first, last) if status.damaged else [(first, last)]:
            self._pass_over(status.id, at, start - 1, now)
            for position in self._stretch(reader, start, end, now, restored=status.restored):
                self._note(status.id, position)
                if self._over():
                    return
            at = end + 1
        self._pass_over(status.id, at, last, now)

    def _faded(self, reader: Reader, status: Status, kept: int) -> list[Mark]:
        """A note of what is no longer kept, unless the index has it from somewhere else."""
        if self._store.knows(status.id):
            return []
        until = max(_received(reader, kept), default=status.began)
        note = Faded(status.id, kept - 1, status.began, until).note
        return [Mark.note(fading.NAME + status.id, note)]

    def _pass_over(self, ledger: str, first: int, last: int, now: int) -> None:
        """Go on behind positions that cannot be read, and remember how many they are.

        At once: whoever reads on from behind them later does not see that they are missing.
        """
        if first <= last:
            marks = [Mark.lost(ledger, last - first + 1), Mark.ledger(ledger, last)]
            self._take([], now, marks)
            self._note(ledger, last)

    def _stretch(
        self, reader: Reader, first: int, last: int, now: int, *, restored: bool
    ) -> Iterator[int]:
        """Fold these positions in some at a time; up to where, after each of them.

        When what came back was received is not known exactly, and it may have been read before.
        """
        found: list[State] = []
        early: dict[int, int] = {}
        began = time.perf_counter()
        for block in reader.blocks(first, last):
            start, end = max(block.first, first), min(block.first + block.events - 1, last)
            for position, raw in enumerate(reader.events(start, end), start):
                place = self._place(reader.ledger, position)
                event = events.read(raw)
                known = state(event, place, self._zone, block.received)
                if known is not None:
                    found.append(known)
                ahead = (event.time or 0) > block.received + EARLY
                if ahead and not restored:
                    day = block.received // DAY
                    early[day] = early.get(day, 0) + 1
                if position % _BREATH == 0:
                    began = self._breathe(began)
            if len(found) >= _AT_ONCE or end == last or self._busy():
                marks = [Mark.ledger(reader.ledger, end)]
                marks += [Mark.early(day, count) for day, count in early.items()]
                self._take(found, now, marks)
                yield end
                found, early = [], {}
                began = self._breathe(began)

    def _take(self, states: list[State], now: int, marks: list[Mark]) -> None:
        if self._ledgers.space.free() < self._ledgers.space.total() // _ROOM_SHARE:
            raise StorageUnavailable("too little room for counting", "grow the data volume")
        self._store.fold(states, now, own=True, marks=marks, epoch=self._epoch)

    def _note(self, ledger: str, position: int) -> None:
        self._positions[ledger] = max(position, self.counted_to(ledger))

    def _place(self, ledger: str, position: int) -> Place:
        return Place(self._collector, ledger, position)

    def _busy(self) -> bool:
        """Whether events are coming in, and nobody waits for the count."""
        recent = time.monotonic() - self._ledgers.writer.committed_at < _BUSY_SECONDS
        return recent and not self._hurry.is_set()

    def _breathe(self, began: float) -> float:
        """Leave the processor to whoever stores events; when that ended (`time.perf_counter`)."""
        if self._busy() and not self._stopped.is_set():
            self._hurry.wait((time.perf_counter() - began) * (1 / SHARE - 1))
        return time.perf_counter()


def _received(reader: Reader, position: int) -> list[int]:
    """When (µs) that position was received; where nothing is kept, when what was purged was."""
    first, last = reader.bounds()
    # What is not there would pass for damage.
    blocks = reader.blocks(position, position) if first <= last else ()
    times = [block.received for block in blocks]
    return times or [received for _, received in reader.purged_receipts()]


def _purged(
    reader: Reader, first: int, last: int, place: Callable[[str, int], Place], zone: str
) -> list[State]:
    """What is left of ends whose events are no longer kept."""
    return [
        purged(
            billed.identity,
            place(billed.ledger, billed.position),
            zone,
            round(billed.duration * SECOND),
            billed.time,
        )
        for billed in reader.purged_identities(first, last)
        if billed.duration is not None
    ]
