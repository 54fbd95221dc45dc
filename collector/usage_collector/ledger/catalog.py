"""Which ledgers a data folder holds, and which of them is live.

``ledgers/<id>/`` holds a ledger; ``ledger.json`` there says what it is, and ``closed.json`` that
and why it is no longer live. Nothing here is ever overwritten or removed. Where one of these files
is lost, its ledger is a damaged one, never one that was not there. ``restored.json`` names the
database beside the damaged one that took its place.
"""

from __future__ import annotations

import logging
import shutil
import uuid
from typing import TYPE_CHECKING

import msgspec

from usage_collector import files
from usage_collector.ledger import book

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)

_ABOUT = "ledger.json"
_CLOSED = "closed.json"
_RESTORED = "restored.json"
_HIDDEN = ".new-"


class About(msgspec.Struct, frozen=True):
    """What a ledger is: its id, when it began (µs) and for which collector."""

    id: str
    began: int
    collector: str
    zone: str


class Closing(msgspec.Struct, frozen=True):
    """When (µs) and why a ledger was closed; ``damaged``: not all of it can be trusted.

    ``restored``: it came back from a backup. ``lost`` are the runs of its positions, first and
    last, that did not. ``unsure``: nobody knows whether anything came after its last position.
    """

    at: int
    reason: str
    damaged: bool
    restored: bool = False
    lost: list[tuple[int, int]] = []
    unsure: bool = False


class Replacement(msgspec.Struct, frozen=True):
    """The database that took a damaged one's place, and how its ledger stands since."""

    database: str
    closing: Closing


# Made here, once: msgspec crashes where several threads are the first to decode into a type.
_read_about = msgspec.json.Decoder(About).decode
_read_closing = msgspec.json.Decoder(Closing).decode
_read_replacement = msgspec.json.Decoder(Replacement).decode


_UNEXPLAINED = Closing(0, f"a newer ledger is there, but no {_CLOSED}", damaged=True)


class Catalog:
    """The ledgers of one data folder."""

    def __init__(self, folder: Path, collector: str = "", zone: str = "") -> None:
        self.folder = folder / "ledgers"
        self._collector = collector
        self._zone = zone

    def all(self) -> list[tuple[About, Closing | None]]:
        """Every ledger, the oldest first; at most one of them is not closed."""
        found = [self._entry(path) for path in self.folder.glob("[!.]*") if path.is_dir()]
        found.sort(key=lambda entry: (entry[0].began, entry[0].id))
        live = max((n for n, (_, closing) in enumerate(found) if closing is None), default=-1)
        return [
            (about, _UNEXPLAINED if closing is None and number != live else closing)
            for number, (about, closing) in enumerate(found)
        ]

    def live(self) -> About | None:
        """The ledger that is not closed."""
        return next((about for about, closing in self.all() if closing is None), None)

    def sweep(self) -> None:
        """Remove what was left of ledgers that never came to be."""
        for path in self.folder.glob(f"{_HIDDEN}*"):
            shutil.rmtree(path, ignore_errors=True)

    def path(self, ledger: str) -> Path:
        """The folder of a ledger."""
        return self.folder / ledger

    def create(self, now: int) -> About:
        """Begin a new ledger; it appears in one step, with all its files."""
        # A clock that went back must not put the new ledger before the others.
        began = max([now, *(about.began + 1 for about, _ in self.all())])
        about = About(str(uuid.uuid4()), began, self._collector, self._zone)
        files.make_folder(self.folder)
        hidden = self.folder / f"{_HIDDEN}{about.id}"
        try:
            files.make_folder(hidden)
            book.create(hidden, about.id, began)
            files.write_durably(hidden / _ABOUT, msgspec.json.encode(about))
            files.flush_folder(hidden)
            hidden.rename(self.path(about.id))
        except BaseException:
            shutil.rmtree(hidden, ignore_errors=True)
            raise
        files.flush_folder(self.folder)
        _log.info("ledger %s begins", about.id)
        return about

    def close(self, ledger: str, now: int, reason: str, *, damaged: bool) -> None:
        """Set a ledger aside, as it is."""
        closing = Closing(now, reason, damaged)
        files.write_durably(self.path(ledger) / _CLOSED, msgspec.json.encode(closing))
        level = logging.ERROR if damaged else logging.WARNING
        _log.log(level, "ledger %s is closed and set aside: %s", ledger, reason)

    def hidden(self, ledger: str) -> Path:
        """Where a ledger is made, so that it appears in one step; empty."""
        files.make_folder(self.folder)
        path = self.folder / f"{_HIDDEN}{ledger}"
        shutil.rmtree(path, ignore_errors=True)
        return path

    def install(self, about: About, closing: Closing) -> None:
        """Let the closed ledger appear that was made in its `hidden` folder."""
        hidden = self.folder / f"{_HIDDEN}{about.id}"
        files.write_durably(hidden / _ABOUT, msgspec.json.encode(about))
        files.write_durably(hidden / _CLOSED, msgspec.json.encode(closing))
        files.flush_folder(hidden)
        hidden.rename(self.path(about.id))
        files.flush_folder(self.folder)

    def replace(self, ledger: str, closing: Closing) -> None:
        """Put the database of the `hidden` folder in the place of a damaged one, which stays."""
        hidden, folder = self.folder / f"{_HIDDEN}{ledger}", self.path(ledger)
        number = sum(1 for _ in folder.glob("restored-*.db")) + 1
        name = f"restored-{number}.db"
        (hidden / book.DATABASE).rename(folder / name)
        files.flush_folder(folder)
        text = msgspec.json.encode(Replacement(name, closing))
        files.write_durably(folder / _RESTORED, text)
        shutil.rmtree(hidden, ignore_errors=True)

    def closing(self, ledger: str) -> Closing | None:
        """Why a ledger is closed; None when it is live."""
        if replaced := _replacement(self.path(ledger)):
            return replaced.closing
        try:
            data = (self.path(ledger) / _CLOSED).read_bytes()
        except FileNotFoundError:
            return None
        try:
            return _read_closing(data)
        except msgspec.MsgspecError:
            return Closing(0, f"{_CLOSED} is unreadable", damaged=True)

    def _entry(self, path: Path) -> tuple[About, Closing | None]:
        closing = self.closing(path.name)
        try:
            about = _read_about((path / _ABOUT).read_bytes())
        except (OSError, msgspec.MsgspecError):
            about = None
        if about is None or about.id != path.name:
            about = About(path.name, book.began(path), self._collector, self._zone)
            closing = closing or Closing(0, f"{_ABOUT} is missing or unreadable", damaged=True)
        return about, closing


def database(folder: Path) -> Path:
    """The database of the ledger in that folder: its own, or the one that took its place."""
    replaced = _replacement(folder)
    return folder / (replaced.database if replaced else book.DATABASE)


def _replacement(folder: Path) -> Replacement | None:
    try:
        return _read_replacement((folder / _RESTORED).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return None
