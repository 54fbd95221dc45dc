"""Room on the disk: some is kept back, so that purging still works when the rest is used up."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from usage_collector.errors import StorageUnavailable

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)

_LARGEST_SHARE = 8
"""The reserve is never more than this part of the whole disk."""
_MARGIN = 1024 * 1024
_FULL = ("the disk is full", "free space on the data volume or grow it")


class Space:
    """The reserve file, and whether events may be stored; used by one thread.

    Once the disk ran full nothing is stored until there is room for the reserve again and some
    more, so that a nearly full disk does not flap.
    """

    def __init__(self, folder: Path, reserve: int) -> None:
        self._folder = folder
        self._file = folder / "reserve"
        total = os.statvfs(folder)
        self._reserve = min(reserve, total.f_blocks * total.f_frsize // _LARGEST_SHARE)
        self.full = not self._reserved() and not self._take()
        self._why = _FULL
        if self.full:
            _log.error("no room for a reserve of %d bytes: grow the volume", self._reserve)

    def ran_out(self, why: StorageUnavailable | None = None) -> None:
        """The disk takes no more: give the reserve to purging, store nothing more."""
        self._why = (why.detail, why.hint) if why else _FULL
        if not self.full:
            _log.error("%s; events are refused until there is room", self._why[0])
        self.full = True
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def check(self) -> None:
        """Refuse to store events, with `StorageUnavailable`, until there is room again."""
        if self.full and self.free() >= self._reserve + max(_MARGIN, self._reserve // 8):
            self.full = not self._take()
            if not self.full:
                _log.warning("there is room on the disk again; events are stored")
        if self.full:
            raise StorageUnavailable(*self._why)

    def free(self) -> int:
        """Bytes free on the data volume."""
        status = os.statvfs(self._folder)
        return status.f_bavail * status.f_frsize

    def total(self) -> int:
        """Bytes of the data volume."""
        status = os.statvfs(self._folder)
        return status.f_blocks * status.f_frsize

    def _reserved(self) -> bool:
        return self._file.is_file() and self._file.stat().st_blocks * 512 >= self._reserve

    def _take(self) -> bool:
        try:
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                if self._reserve:
                    os.posix_fallocate(descriptor, 0, self._reserve)
            finally:
                os.close(descriptor)
        except OSError:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)
            return False
        return True
