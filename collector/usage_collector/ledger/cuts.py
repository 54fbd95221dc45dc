"""The cuts of periods and the receipts for their files: one small file a period, kept twice."""

from __future__ import annotations

import hashlib
import logging
import threading
from typing import TYPE_CHECKING

import msgspec

from usage_collector import files
from usage_collector.errors import Damaged

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)
_MANIFEST = ".manifest.gz"
_MANIFESTS = 14
"""How many are kept: the month after needs the last two."""


class Limits(msgspec.Struct, frozen=True):
    """What one file of a cut may hold; MB are 10^6 bytes of the file as written."""

    megabytes: float
    batch_jobs: int
    realtime_hours: float


class CutFile(msgspec.Struct, frozen=True):
    """One file of a cut: positions of one ledger, and how much that is."""

    ledger: str
    first: int
    last: int
    count: int
    batch_jobs: int
    realtime_hours: float


class ReceiptFile(msgspec.Struct, frozen=True):
    """A delivered file; ``sha256`` in hex."""

    name: str
    sha256: str


class Receipt(msgspec.Struct, frozen=True):
    """That files of a period were delivered: ``exported``, ``sent`` or ``acknowledged``; µs."""

    state: str
    by: str
    at: int
    files: list[ReceiptFile]


class Cut(msgspec.Struct, frozen=True):
    """A period as it was fixed: each ledger's end, and the files from the last cut to there.

    ``early_events`` are those dated later than they were received, by day of their receipt; None
    where that was not known. A cut of before that was counted stays byte for byte as it is.
    """

    period: str
    cut_at: int
    limits: Limits
    ends: dict[str, int]
    files: list[CutFile]
    receipts: list[Receipt] = []
    early_events: dict[str, int] | msgspec.UnsetType | None = msgspec.UNSET

    @property
    def count(self) -> int:
        """Events in all files."""
        return sum(file.count for file in self.files)


_as_cut = msgspec.json.Decoder(Cut).decode


class Cuts:
    """The cuts in a data folder, by period; safe to use from several threads.

    One that is unreadable in both copies stops everything that depends on knowing all of them,
    which is then `Damaged`, and nothing else.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "periods"
        self.lock = threading.RLock()
        self._cuts: dict[str, Cut] = {}
        self._unreadable: list[str] = []
        for period in sorted({path.name.split(".")[0] for path in self._folder.glob("*.json")}):
            found = self._load(period)
            if found is None:
                self._unreadable.append(period)
            else:
                self._cuts[period] = found

    def heal(self) -> None:
        """Write again the copies that are not like the one that is read."""
        with self.lock:
            for period, cut in self._cuts.items():
                data = _encode(cut)
                for path in self._paths(period):
                    if _read(path) != data:
                        _log.warning("%s is written again from its copy", path)
                        files.write_durably(path, data)

    def all(self) -> list[Cut]:
        """Every cut, the earliest period first."""
        with self.lock:
            if self._unreadable:
                periods = " and ".join(self._unreadable)
                raise Damaged(
                    f"the cut of {periods} is unreadable in both copies",
                    f"restore periods/{self._unreadable[0]}.json from a backup and start again: "
                    "no position may be in two periods",
                )
            return [cut for _, cut in sorted(self._cuts.items())]

    def get(self, period: str) -> Cut | None:
        """The cut of a period."""
        with self.lock:
            return self._cuts.get(period)

    def save(self, cut: Cut) -> None:
        """Keep a cut durably, or its new receipts."""
        with self.lock:
            data = _encode(cut)
            files.make_folder(self._folder)
            for path in self._paths(cut.period):
                files.write_durably(path, data)
            self._cuts[cut.period] = cut

    def keep_manifest(self, period: str, manifest: bytes) -> None:
        """Keep a period's manifest as it came, gzipped, durably, beside those of the last year."""
        with self.lock:
            files.make_folder(self._folder)
            files.write_durably(self._folder / f"{period}{_MANIFEST}", manifest)
            for path in sorted(self._folder.glob(f"*{_MANIFEST}"))[:-_MANIFESTS]:
                path.unlink()

    def manifest(self, period: str) -> bytes | None:
        """The manifest that was kept last, None where there is none."""
        try:
            return (self._folder / f"{period}{_MANIFEST}").read_bytes()
        except FileNotFoundError:
            return None

    def end(self, ledger: str) -> int:
        """The last position of a ledger that belongs to a cut, as far as cuts can be read."""
        with self.lock:
            return max((cut.ends.get(ledger, 0) for cut in self._cuts.values()), default=0)

    def _paths(self, period: str) -> tuple[Path, Path]:
        return self._folder / f"{period}.json", self._folder / f"{period}.copy.json"

    def _load(self, period: str) -> Cut | None:
        for path in self._paths(period):
            digest, _, text = _read(path).partition(b"\n")
            if hashlib.sha256(text).hexdigest().encode() == digest:
                return _as_cut(text)
            _log.error("%s is unreadable", path)
        return None


def _encode(cut: Cut) -> bytes:
    text = msgspec.json.encode(cut)
    return hashlib.sha256(text).hexdigest().encode() + b"\n" + text


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
