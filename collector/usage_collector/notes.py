"""What jobs told a collector of themselves, for people who look at it: backups, the next export.

Kept in one small file. Nothing depends on it: what is due, purged or restored is decided by cuts,
receipts and the backups themselves.
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec

from usage_collector import files
from usage_collector.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_log = logging.getLogger(__name__)

PLACES = 20
"""Of backups that are remembered; the one told of longest ago is forgotten."""
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Backup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A backup of this collector: where, when it was complete and last proven, and up to where.

    ``ends`` are the last positions of each ledger that are in it. ``continuous``: somebody follows
    the collector, and each package is proven as it comes.
    """

    place: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    taken: Moment
    ends: Annotated[dict[str, Annotated[int, msgspec.Meta(ge=0)]], msgspec.Meta(max_length=10_000)]
    verified: Moment | None = None
    verified_ok: bool | None = None
    continuous: bool = False

    @property
    def key(self) -> tuple[str, bool]:
        """Of which backup this is news."""
        return self.place, self.continuous


class Export(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The month that is to be delivered next, and when it is due."""

    period: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]
    due: Moment


class _Kept(msgspec.Struct, frozen=True):
    backups: list[Backup] = []
    export: Export | None = None


_read_kept = msgspec.json.Decoder(_Kept).decode


class Notes:
    """Keeps ``notes.json`` in that folder; a file that cannot be read is begun anew."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "notes.json"
        self._lock = threading.Lock()
        self._kept = self._read()

    @property
    def backups(self) -> list[Backup]:
        """The backups, that told of last at the end."""
        return self._kept.backups

    @property
    def export(self) -> Export | None:
        """The next export; None where nobody told."""
        return self._kept.export

    def put(self, note: Backup | Export) -> None:
        """Remember it in the place of an older one; it is durable when this returns.

        Raises:
            StorageUnavailable: it cannot be written.
        """
        with self._lock:
            if isinstance(note, Export):
                kept = msgspec.structs.replace(self._kept, export=note)
            else:
                others = [one for one in self._kept.backups if one.key != note.key]
                kept = msgspec.structs.replace(self._kept, backups=[*others, note][-PLACES:])
            files.keep(self._path, msgspec.json.encode(kept), "the notes")
            self._kept = kept

    def _read(self) -> _Kept:
        try:
            return _read_kept(self._path.read_bytes())
        except FileNotFoundError:
            return _Kept()
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            _log.error("%s cannot be read (%s); jobs will tell again", self._path, error)
            return _Kept()


def read(kind: type[Backup | Export], body: bytes) -> Backup | Export:
    """A note as it was sent; `InvalidInput` names the field."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        fields = ", ".join(kind.__struct_fields__)
        raise InvalidInput(f"the note cannot be read: {error}", f"send {fields}") from None


def missing(backup: Backup, ledgers: Iterable[tuple[str, int, int]]) -> int:
    """How many of the events kept (ledger, first and last position) are not in that backup."""
    ends: Mapping[str, int] = backup.ends
    return sum(
        max(0, last - max(first - 1, ends.get(ledger, 0))) for ledger, first, last in ledgers
    )
