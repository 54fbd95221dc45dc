"""A backup's packages as they were exported: opened, decrypted, compared with the index."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from usage_collector.backup.sealing import SUFFIX, Unsealed
from usage_collector.errors import Damaged, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from usage_collector.backup.index import Index, Kept, Stored
    from usage_collector.backup.sealing import Key
    from usage_collector.packages.scanner import Readable

_CHUNK = 256 * 1024


class Shelf(Protocol):
    """Where packages lie, to be read: a `Store`, or files by themselves."""

    @property
    def name(self) -> str:
        """How people call the place."""

    def open(self, name: str) -> AbstractContextManager[Readable]:
        """A file, to be read from front to back."""


@contextmanager
def opened(store: Shelf, index: Index, stored: Stored | Kept, key: Key | None) -> Iterator[Checked]:
    """A package or manifest, to be read to its end.

    Raises:
        InvalidInput: it is encrypted, and no key or another one was given.
        Damaged: it is not what was written.
    """
    if stored.file.endswith(SUFFIX) and key is None:
        raise InvalidInput(
            f"the backup in {store.name} is encrypted with key {index.key}",
            "give the key file that it was made with (--key-file)",
        )
    with store.open(stored.file) as file:
        pieces = key.opened(file, stored.file) if key and stored.file.endswith(SUFFIX) else None
        yield Checked(Unsealed(pieces or iter(lambda: file.read(_CHUNK), b"")), stored)


class Checked:
    """Reads a file and compares its bytes with what the index says, at its end."""

    def __init__(self, file: Unsealed, stored: Stored | Kept) -> None:
        self._file = file
        self._stored = stored
        self._sha256 = hashlib.sha256()
        self._size = 0

    def read(self, size: int, /) -> bytes:
        """The next bytes, none at the end.

        Raises:
            Damaged: there are others than were taken.
        """
        data = self._file.read(size)
        self._sha256.update(data)
        self._size += len(data)
        at_end = not data and size > 0
        if self._size > self._stored.bytes or (at_end and not self._whole):
            raise Damaged(
                f"{self._stored.file} is not what was taken",
                "restore an older copy of that file; the others are not concerned",
            )
        return data

    @property
    def _whole(self) -> bool:
        same = self._sha256.hexdigest() == self._stored.sha256
        return same and self._size == self._stored.bytes
