"""Where to end each file of a cut, so that it stays within its limits. Pure but for zlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from isal import isal_zlib

from usage_collector.export.windows import weighed
from usage_collector.ledger import Load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from usage_collector.ledger import Limits

_ENVELOPE_BYTES = 4096
_MARK_BYTES = 67
_MARK_EVERY = 100
_LEVEL = 2
_FLUSH_BYTES = 256 * 1024
_SMALLEST_FLUSH = 16 * 1024


class Item(NamedTuple):
    """An event as it counts against the limits: its bytes and its weight."""

    raw: bytes
    weight: int | None


class Stretch(NamedTuple):
    """``events`` consecutive events, and their load."""

    events: int
    load: Load


class _Meter:
    """How large the file would be, at most: what is not yet compressed counts in full.

    The file compresses a little better, since this one is flushed in between to be measured.
    """

    def __init__(self) -> None:
        self._zlib = isal_zlib.compressobj(_LEVEL)
        self._packed = 0
        self._pending = 0
        self._events = 0

    def add(self, raw: bytes) -> None:
        self._packed += len(self._zlib.compress(raw + b","))
        self._pending += len(raw) + 1
        self._events += 1
        if self._pending >= _FLUSH_BYTES:
            self._flush()

    def fits(self, raw: bytes, limit: float) -> bool:
        """Whether one more event leaves the file within ``limit`` bytes."""
        if self._size(raw) > limit and self._pending >= _SMALLEST_FLUSH:
            self._flush()
        return self._size(raw) <= limit

    def _size(self, raw: bytes) -> int:
        marks = _MARK_BYTES * (self._events // _MARK_EVERY + 1)
        return self._packed + self._pending + len(raw) + marks + _ENVELOPE_BYTES

    def _flush(self) -> None:
        self._packed += len(self._zlib.flush(isal_zlib.Z_SYNC_FLUSH))
        self._pending = 0


def split(items: Iterable[Item], limits: Limits) -> Iterator[Stretch]:
    """Consecutive stretches of the items, each within the limits or a single event."""
    meter, count, load = _Meter(), 0, Load()
    for item in items:
        total = load + weighed(item.weight)
        if count and not (_within(total, limits) and meter.fits(item.raw, limits.megabytes * 1e6)):
            yield Stretch(count, load)
            meter, count, load = _Meter(), 0, Load()
            total = weighed(item.weight)
        meter.add(item.raw)
        count, load = count + 1, total
    if count:
        yield Stretch(count, load)


def _within(load: Load, limits: Limits) -> bool:
    return load.jobs <= limits.batch_jobs and load.hours <= limits.realtime_hours
