"""Which ledgers a data folder holds, and which of them is live.

``ledgers/<id>/`` holds a ledger; ``ledger.json`` there says what it is, and ``closed.json`` that
and why it is no longer live. Nothing here is ever overwritten or removed.
"""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING

import msgspec

from usage_collector import files
from usage_collector.errors import Damaged
from usage_collector.ledger import book

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)

_ABOUT = "ledger.json"
_CLOSED = "closed.json"


class About(msgspec.Struct, frozen=True):
    """What a ledger is: its id, when it began (µs) and for which collector."""

    id: str
    began: int
    collector: str
    zone: str


class Closing(msgspec.Struct, frozen=True):
    """When (µs) and why a ledger was closed; ``damaged``: not all of it can be trusted."""

    at: int
    reason: str
    damaged: bool


class Catalog:
    """The ledgers of one data folder."""

    def __init__(self, folder: Path, collector: str = "", zone: str = "") -> None:
        self.folder = folder / "ledgers"
        self._collector = collector
        self._zone = zone

    def all(self) -> list[tuple[About, Closing | None]]:
        """Every ledger, the oldest first."""
        found = [
            (self._about(path), self.closing(path.parent.name))
            for path in self.folder.glob(f"*/{_ABOUT}")
            if not path.parent.name.startswith(".")
        ]
        return sorted(found, key=lambda entry: (entry[0].began, entry[0].id))

    def live(self) -> About | None:
        """The ledger that is not closed."""
        return next((about for about, closing in self.all() if closing is None), None)

    def path(self, ledger: str) -> Path:
        """The folder of a ledger."""
        return self.folder / ledger

    def create(self, now: int) -> About:
        """Begin a new ledger; it appears in one step, with all its files."""
        # A clock that went back must not put the new ledger before the others.
        began = max([now, *(about.began + 1 for about, _ in self.all())])
        about = About(str(uuid.uuid4()), began, self._collector, self._zone)
        files.make_folder(self.folder)
        hidden = self.folder / f".new-{about.id}"
        files.make_folder(hidden)
        book.create(hidden, about.id, began)
        files.write_durably(hidden / _ABOUT, msgspec.json.encode(about))
        files.flush_folder(hidden)
        hidden.rename(self.path(about.id))
        files.flush_folder(self.folder)
        _log.info("ledger %s begins", about.id)
        return about

    def close(self, ledger: str, now: int, reason: str, *, damaged: bool) -> None:
        """Set a ledger aside, as it is."""
        closing = Closing(now, reason, damaged)
        files.write_durably(self.path(ledger) / _CLOSED, msgspec.json.encode(closing))
        level = logging.ERROR if damaged else logging.WARNING
        _log.log(level, "ledger %s is closed and set aside: %s", ledger, reason)

    def closing(self, ledger: str) -> Closing | None:
        """Why a ledger is closed; None when it is live."""
        try:
            data = (self.path(ledger) / _CLOSED).read_bytes()
        except FileNotFoundError:
            return None
        try:
            return msgspec.json.decode(data, type=Closing)
        except msgspec.MsgspecError:
            return Closing(0, f"{_CLOSED} is unreadable", damaged=True)

    def _about(self, path: Path) -> About:
        try:
            return msgspec.json.decode(path.read_bytes(), type=About)
        except msgspec.MsgspecError as error:
            raise Damaged(
                f"{path} is unreadable: {error}", "restore that file, or move its folder away"
            ) from None
