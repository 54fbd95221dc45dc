"""Which transcripts are pending: those that the ledgers announce and do not count.

The ledgers are the truth. A small file says up to where they were read and what was pending there,
so that a start reads only what came since; without it everything is read again.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import msgspec

from usage_collector import events, files
from usage_collector.errors import StorageUnavailable, UsageError
from usage_collector.events import Outcome
from usage_collector.ledger import stretches
from usage_collector.vendors.assemblyai import notices
from usage_collector.vendors.assemblyai.notices import Notice

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from usage_collector.ledger import Ledgers, Reader, Status

_log = logging.getLogger(__name__)

FILE = "pending.json"
SAVE_SECONDS = 60.0
"""How much reading, at most, a start has to repeat."""
_AT_ONCE = 4096
_REST = 4.0
"""How many times as long as a stretch of reading it rests before the next."""


class Pending(msgspec.Struct, frozen=True):
    """A transcript whose duration is not known; ``received`` is when (µs) it was notified."""

    received: int
    event: str

    @property
    def notice(self) -> Notice:
        """Its notification."""
        found = Notice.of(self.event.encode())
        assert found is not None  # noqa: S101 - nothing else is ever taken for pending
        return found


class _Kept(msgspec.Struct):
    """The file: positions up to which each ledger was read, and what was pending there.

    ``restored`` are ledgers that had come back by then, each with what was lost of it.
    """

    ledgers: dict[str, int] = {}
    pending: list[Pending] = []
    restored: dict[str, str] = {}


_read_kept = msgspec.json.Decoder(_Kept).decode


class Finder:
    """Follows the ledgers; to be used by one thread at a time, only `pending` by others too.

    ``pending`` is by billing identity.
    """

    def __init__(self, folder: Path, ledgers: Ledgers) -> None:
        self._path = folder / FILE
        self._ledgers = ledgers
        self._problems: dict[str, str] = {}
        kept = _load(self._path)
        self._marks = kept.ledgers
        self._restored = kept.restored
        self.pending = {
            events.read(one.event.encode()).identity: one
            for one in kept.pending
            if Notice.of(one.event.encode())
        }
        self._saved = time.monotonic()
        self._written = msgspec.json.encode(kept)

    @staticmethod
    def is_needed(folder: Path) -> bool:
        """Whether transcripts may be pending there, even if no more are taken."""
        return (folder / FILE).exists()

    def is_complete(self) -> bool:
        """Whether everything that is stored was looked at."""
        statuses = self._ledgers.all()
        read = all(self._marks.get(one.id, 0) >= one.last for one in statuses)
        return read and _restored(statuses) == self._restored

    def look(self) -> None:
        """Read what came since; nothing is lost by what cannot be read now."""
        statuses = self._ledgers.all()
        if (restored := _restored(statuses)) != self._restored:
            # What came back may lie before a mark, and be settled in a ledger that was read.
            self._marks = {}
            self._restored = restored
        for status in statuses:
            if self._marks.get(status.id, 0) >= status.last:
                continue
            try:
                self._ledger(status)
                self._problems.pop(status.id, None)
            except UsageError as error:
                if self._problems.get(status.id) != str(error):
                    _log.error("pending transcripts of ledger %s: %s", status.id, error)
                self._problems[status.id] = str(error)
        if time.monotonic() - self._saved >= SAVE_SECONDS or not self._path.exists():
            self.save()

    def cuts(self) -> list[int]:
        """When (µs) the periods were cut, in their order."""
        return [cut.cut_at for cut in self._ledgers.cuts.all()]

    def settle(self, identity: bytes) -> None:
        """What came of it is stored."""
        self.pending.pop(identity, None)

    def save(self) -> None:
        """Write down how far it is; where that fails, a start has more to read."""
        self._saved = time.monotonic()
        # In the reverse order of looking, which may be under way: nothing is passed over then.
        restored, marks = self._restored, dict(self._marks)
        data = msgspec.json.encode(_Kept(marks, list(self.pending.values()), restored))
        if data == self._written:
            return
        try:
            files.write_durably(self._path, data)
            self._written = data
        except (StorageUnavailable, OSError) as error:
            _log.warning("what is pending could not be written down: %s", error)

    def _ledger(self, status: Status) -> None:
        with self._ledgers.reader(status.id) as reader:
            kept, last = reader.bounds()
            first = max(self._marks.get(status.id, 0) + 1, kept)
            runs = stretches(reader, first, last) if status.damaged else [(first, last)]
            for start, end in runs:
                for at in range(start, end + 1, _AT_ONCE):
                    began = time.monotonic()
                    self._stretch(reader, at, min(at + _AT_ONCE - 1, end))
                    if at + _AT_ONCE <= end:
                        time.sleep(_REST * (time.monotonic() - began))
            self._marks[status.id] = last

    def _stretch(self, reader: Reader, first: int, last: int) -> None:
        for position, raw in enumerate(reader.events(first, last), first):
            # Nearly all events are none of ours, and parsing costs more than looking.
            if notices.MARK in raw:
                self._take(reader, position, raw)
        self._marks[reader.ledger] = last

    def _take(self, reader: Reader, position: int, raw: bytes) -> None:
        event = events.read(raw)
        if event.vendor != notices.VENDOR:
            return
        known = event.kind is Outcome.DONE and event.duration is not None
        if known or event.kind is Outcome.FAILED:
            self.pending.pop(event.identity, None)
        elif Notice.of(raw):
            received = next(reader.blocks(position, position)).received
            self.pending.setdefault(event.identity, Pending(received, raw.decode()))


def _restored(statuses: Iterable[Status]) -> dict[str, str]:
    return {one.id: repr(one.lost) for one in statuses if one.restored}


def _load(path: Path) -> _Kept:
    try:
        return _read_kept(path.read_bytes())
    except FileNotFoundError:
        return _Kept()
    except (OSError, msgspec.MsgspecError) as error:
        _log.error("%s cannot be used, all events are read again: %s", path, error)
        return _Kept()
