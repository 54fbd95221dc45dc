"""The head: how far a ledger got, kept outside of it.

A log whose end is lost looks like one that never had that end; only something outside can tell.
The file holds two slots that are flushed in turn, so that a torn write leaves the other, and a
third one that is written after each commit without a flush: it survives the process, not the host.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from usage_collector.errors import StorageUnavailable
from usage_collector.files import FULL, read_only, write_durably

if TYPE_CHECKING:
    from pathlib import Path

_SLOT = 512


@dataclass(frozen=True, slots=True)
class Head:
    """A position of a ledger and the chain's hash there."""

    ledger: str
    position: int
    hash: bytes


def read(path: Path) -> Head | None:
    """The newest readable slot; None when there is none."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return max(filter(None, _slots(data)), key=lambda head: head.position, default=None)


class HeadFile:
    """Writes the head of one ledger; ``flushed`` is what is known to be on the disk."""

    def __init__(self, path: Path, ledger: str) -> None:
        slots = _slots(path.read_bytes())
        durable = [slot or Head(ledger, -1, b"") for slot in slots[:2]]
        self._slot = 0 if durable[0].position < durable[1].position else 1
        self.flushed = durable[1 - self._slot]
        self._descriptor = os.open(path, os.O_WRONLY)

    def note(self, head: Head) -> None:
        """Leave the head to the operating system, to be found when only the process ends."""
        # What was stored is stored; the next head says so again.
        with suppress(StorageUnavailable):
            _put(self._descriptor, head, 2)

    def flush(self, head: Head) -> None:
        """Write the head into the older slot; it is on the disk on return.

        Raises:
            StorageUnavailable: a disk that copies on write is full, or became read-only.
            OSError: anything else, and every flush that fails.
        """
        _put(self._descriptor, head, self._slot)
        os.fdatasync(self._descriptor)
        self._slot = 1 - self._slot
        self.flushed = head

    def close(self) -> None:
        """Give the file back."""
        os.close(self._descriptor)


def create(path: Path, head: Head) -> None:
    """Make the file, durably."""
    write_durably(path, _encode(head) * 3)


def _put(descriptor: int, head: Head, slot: int) -> None:
    try:
        os.pwrite(descriptor, _encode(head), slot * _SLOT)
    except OSError as error:
        if error.errno == errno.EROFS:
            raise read_only("the head") from None
        if error.errno in FULL:
            raise StorageUnavailable(
                f"the head cannot be written: {error.strerror}", "free space or mend the volume"
            ) from None
        raise


def _slots(data: bytes) -> list[Head | None]:
    return [_decode(data[slot * _SLOT : (slot + 1) * _SLOT]) for slot in range(3)]


def _encode(head: Head) -> bytes:
    value = {"ledger": head.ledger, "position": head.position, "hash": head.hash.hex()}
    text = json.dumps(value).encode()
    line = text + b" " + hashlib.sha256(text).hexdigest().encode()
    return line.ljust(_SLOT - 1) + b"\n"


def _decode(slot: bytes) -> Head | None:
    text, _, digest = slot.rstrip().rpartition(b" ")
    if hashlib.sha256(text).hexdigest().encode() != digest:
        return None
    value = json.loads(text)
    return Head(value["ledger"], value["position"], bytes.fromhex(value["hash"]))
