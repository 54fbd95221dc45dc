"""This collector's ledgers, read into the day index behind the events' back."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from usage_collector import events
from usage_collector.errors import NotFound, StorageUnavailable, UsageError
from usage_collector.ledger import stretches
from usage_collector.sessions import SECOND, Place
from usage_collector.usage.states import purged, state
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
_ROOM_SHARE = 32
"""The index leaves this part of the disk to the events."""


class Feeder:
    """Reads every ledger from where it was left to its end; `run` is called again and again.

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
        self.problems: dict[str, str] = {}
        """Ledgers that cannot be read, and why."""
        self.recall()

    def recall(self) -> None:
        """Go on from where the index says."""
        self._positions = dict(self._store.rows("SELECT ledger, position FROM ledgers"))

    def counted_to(self, ledger: str) -> int:
        """Up to which position that ledger is in the index."""
        return self._positions.get(ledger, 0)

    def run(self, now: int) -> int:
        """Read what is new; how many events are in no ledger's count yet. ``now``: µs."""
        with self._lock:
            for status in self._ledgers.all():
                if self._stopped.is_set():
                    break
                if self.counted_to(status.id) < status.last:
                    self._ledger(status, now)
                elif not status.readable:
                    self.problems[status.id] = status.problem or "it cannot be read"
        return self.behind()

    def catch_up(self, now: int, seconds: float) -> int:
        """The same at full speed, for somebody who waits for it for so long at most."""
        if not self.behind():
            return 0
        self._hurry.set()
        try:
            if self._lock.acquire(timeout=seconds):
                self._lock.release()
                return self.run(now)
            return self.behind()
        finally:
            self._hurry.clear()

    def behind(self) -> int:
        """How many stored events are not counted yet."""
        return sum(max(s.last - self.counted_to(s.id), 0) for s in self._ledgers.all())

    def stop(self) -> None:
        """Return from `run` soon, and read nothing more."""
        self._stopped.set()

    def _ledger(self, status: Status, now: int) -> None:
        try:
            with self._ledgers.reader(status.id) as reader:
                self._read(reader, status, now)
            self.problems.pop(status.id, None)
        except NotFound:
            _log.info("ledger %s was purged while it was read; it is read again", status.id)
        except UsageError as error:
            if self.problems.get(status.id) != str(error):
                _log.error("usage of ledger %s cannot be counted: %s", status.id, error)
            self.problems[status.id] = str(error)

    def _read(self, reader: Reader, status: Status, now: int) -> None:
        first = self.counted_to(status.id) + 1
        kept, last = reader.bounds()
        if first < kept:
            self._take(status.id, _purged(reader, first, kept - 1, self._place, self._zone), now)
            self._note(status.id, kept - 1)
            first = kept
        runs = stretches(reader, first, last) if status.damaged else iter([(first, last)])
        for start, end in runs:
            for position in self._stretch(reader, start, end, now):
                self._note(status.id, position)
                if self._stopped.is_set():
                    return
        self._store.put(Mark.ledger(status.id, last))
        self._note(status.id, last)

    def _stretch(self, reader: Reader, first: int, last: int, now: int) -> Iterator[int]:
        """Fold these positions in some at a time; up to where, after each of them."""
        found: list[State] = []
        began = time.perf_counter()
        for block in reader.blocks(first, last):
            start, end = max(block.first, first), min(block.first + block.events - 1, last)
            for position, raw in enumerate(reader.events(start, end), start):
                place = self._place(reader.ledger, position)
                known = state(events.read(raw), place, self._zone, block.received)
                if known is not None:
                    found.append(known)
                if position % _BREATH == 0:
                    began = self._breathe(began)
            if len(found) >= _AT_ONCE or end == last or self._busy():
                self._take(reader.ledger, found, now, end)
                yield end
                found = []
                began = self._breathe(began)

    def _take(
        self, ledger: str, states: list[State], now: int, position: int | None = None
    ) -> None:
        if self._ledgers.space.free() < self._ledgers.space.total() // _ROOM_SHARE:
            raise StorageUnavailable("too little room for counting", "grow the data volume")
        mark = Mark.ledger(ledger, self.counted_to(ledger) if position is None else position)
        self._store.fold(states, now, own=True, mark=mark)

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
