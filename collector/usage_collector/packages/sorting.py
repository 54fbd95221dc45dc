"""Any number of uses sorted by identity, in bounded memory: sorted runs on disk, then merged."""

from __future__ import annotations

import heapq
import os
import tempfile
from typing import IO, TYPE_CHECKING, Self

import msgspec

from usage_collector.sessions import Use, by_identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = 100_000
"""Uses held in memory at most: about 30 MB."""
_BLOCK = 32 * 1024
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Use).decode


class Sorter:
    """Takes uses in any order, gives them back grouped by identity, in the order of identities.

    ``folder`` is where runs that do not fit into memory go (None: the system's place for temporary
    files), all into one file that vanishes with the sorter. The result depends on what was added
    only, not on when.
    """

    def __init__(self, folder: Path | None = None, run: int = RUN) -> None:
        self._folder = folder
        self._run = run
        self._pending: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._runs: list[tuple[int, int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def add(self, use: Use) -> None:
        """Takes one more."""
        # The identity leads, so that records sort as bytes; its length comes last, to take it off.
        self._pending.append(use.identity + _encode(use) + bytes([len(use.identity)]))
        if len(self._pending) >= self._run:
            self._spill()

    def _spill(self) -> None:
        self._pending.sort()
        if not self._file:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        begin = self._file.tell()
        for record in self._pending:
            self._file.write(len(record).to_bytes(4, "big") + record)
        self._runs.append((begin, self._file.tell()))
        self._pending.clear()

    def keep(self) -> int:
        """Everything added so far is wanted; what this returns takes back what comes later."""
        if self._pending:
            self._spill()
        return len(self._runs)

    def take_back(self, kept: int) -> None:
        """Forgets everything added since `keep` returned this."""
        self._pending.clear()
        del self._runs[kept:]

    def groups(self) -> Iterator[list[Use]]:
        """The uses of each identity, in the order of identities."""
        self._pending.sort()
        runs: list[Iterator[bytes]] = [iter(self._pending)]
        if self._file:
            self._file.flush()
            runs += [_records(self._file.fileno(), *run) for run in self._runs]
        records = heapq.merge(*runs)
        return by_identity(_decode(memoryview(record)[record[-1] : -1]) for record in records)


def _records(file: int, begin: int, end: int) -> Iterator[bytes]:
    held, place = b"", 0
    while begin < end or place < len(held):
        size = int.from_bytes(held[place : place + 4], "big")
        if len(held) - place < 4 or len(held) - place < 4 + size:
            more = os.pread(file, min(_BLOCK, end - begin), begin)
            begin += len(more)
            held, place = held[place:] + more, 0
            continue
        yield held[place + 4 : place + 4 + size]
        place += 4 + size
