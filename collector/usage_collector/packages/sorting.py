"""Any number of uses sorted by identity, in bounded memory: sorted runs on disk, then merged."""

from __future__ import annotations

import heapq
import tempfile
from typing import IO, TYPE_CHECKING, Self

import msgspec

from usage_collector.sessions import Use, by_identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUFFER = 128 * 1024
RUN = 100_000
"""Uses held in memory at most: about 30 MB."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Use).decode


class Sorter:
    """Takes uses in any order, gives them back grouped by identity, in the order of identities.

    ``folder`` is where runs that do not fit into memory go (None: the system's place for temporary
    files); they vanish with the sorter. The result depends on what was added only, not on when.
    """

    def __init__(self, folder: Path | None = None, run: int = RUN) -> None:
        self._folder = folder
        self._run = run
        self._pending: list[bytes] = []
        self._files: list[IO[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    def add(self, use: Use) -> None:
        """Takes one more."""
        # The identity leads, so that records sort as bytes; its length comes last, to take it off.
        self._pending.append(use.identity + _encode(use) + bytes([len(use.identity)]))
        if len(self._pending) >= self._run:
            self._spill()

    def _spill(self) -> None:
        self._pending.sort()
        file: IO[bytes] = tempfile.TemporaryFile(dir=self._folder, buffering=BUFFER)  # noqa: SIM115
        self._files.append(file)
        for record in self._pending:
            file.write(len(record).to_bytes(4, "big") + record)
        self._pending.clear()

    def keep(self) -> int:
        """Everything added so far is wanted; what this returns takes back what comes later."""
        if self._pending:
            self._spill()
        return len(self._files)

    def take_back(self, kept: int) -> None:
        """Forgets everything added since `keep` returned this."""
        self._pending.clear()
        while len(self._files) > kept:
            self._files.pop().close()

    def groups(self) -> Iterator[list[Use]]:
        """The uses of each identity, in the order of identities."""
        self._pending.sort()
        for file in self._files:
            file.seek(0)
        records = heapq.merge(self._pending, *map(_records, self._files))
        return by_identity(_decode(memoryview(record)[record[-1] : -1]) for record in records)


def _records(file: IO[bytes]) -> Iterator[bytes]:
    while size := file.read(4):
        yield file.read(int.from_bytes(size, "big"))
