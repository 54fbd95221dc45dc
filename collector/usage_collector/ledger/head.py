"""The head: how far a ledger got, kept outside of it.

A log whose end is lost looks like one that never had that end; only something outside can tell.
The file holds two slots that are written in turn, so that a torn write leaves the other.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from usage_collector.files import write_durably

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
    """Writes the head of one ledger; `flush` returns when it is on the disk."""

    def __init__(self, path: Path, head: Head) -> None:
        if not path.exists():
            write_durably(path, _encode(head) * 2)
        self._descriptor = os.open(path, os.O_WRONLY)
        slots = _slots(path.read_bytes())
        self._slot = 0 if slots[0] is None or _older(*slots) else 1
        self.written = head

    def flush(self, head: Head) -> None:
        """Write the head into the older slot; OSError when that fails."""
        os.pwrite(self._descriptor, _encode(head), self._slot * _SLOT)
        os.fdatasync(self._descriptor)
        self._slot = 1 - self._slot
        self.written = head

    def close(self) -> None:
        """Give the file back."""
        os.close(self._descriptor)


def _slots(data: bytes) -> tuple[Head | None, Head | None]:
    return _decode(data[:_SLOT]), _decode(data[_SLOT : 2 * _SLOT])


def _older(one: Head | None, other: Head | None) -> bool:
    return one is not None and other is not None and one.position < other.position


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
