"""A folder, on a volume or anywhere else in the file system."""

from __future__ import annotations

import contextlib
import fcntl
import filecmp
import hashlib
import os
import shutil
from typing import TYPE_CHECKING

from usage_collector.errors import DeliveryFailed
from usage_collector.files import flush_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PART = ".part"


class Folder:
    """Delivers into sub-folders of ``root``: each file is there whole or not at all."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def name(self) -> str:
        """Its path."""
        return str(self._root)

    def held(self, folder: str) -> dict[str, str]:
        """The files in that sub-folder with their SHA-256."""
        found = {}
        with contextlib.suppress(FileNotFoundError):
            for path in sorted((self._root / folder).iterdir()):
                if path.is_file() and not path.name.startswith("."):
                    with path.open("rb") as file:
                        found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
        return found

    def fetch(self, folder: str, name: str) -> bytes | None:
        """A file's content."""
        try:
            return (self._root / folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def deliver(self, folder: str, files: Sequence[Path]) -> list[str]:
        """Copies the files there; what is there already with the same content stays as it is."""
        there = self._root / folder
        try:
            there.mkdir(parents=True, exist_ok=True)
            flush_folder(there.parent)
            new = [path.name for path in files if _place(path, there / path.name)]
            flush_folder(there)
        except OSError as error:
            raise DeliveryFailed(
                f"{there} did not take {error.filename}: {error.strerror}",
                "check its rights and free space; the next run goes on from here",
            ) from error
        return new


def _place(source: Path, path: Path) -> bool:
    """Copies a file beside its place, flushes it, and names it; False when it was there."""
    if path.exists():
        if filecmp.cmp(source, path, shallow=False):
            return False
        raise DeliveryFailed(
            f"{path} is another file than the one to be delivered",
            "nothing is ever overwritten; move it away if it does not belong there",
        )
    part = path.with_name(f".{path.name}{_PART}")
    with part.open("ab") as out:
        try:
            fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DeliveryFailed(f"{part} is being written by another run", "wait for it") from None
        out.truncate(0)
        with source.open("rb") as file:
            shutil.copyfileobj(file, out, 1024 * 1024)
        out.flush()
        os.fsync(out.fileno())
        part.rename(path)
    return True
