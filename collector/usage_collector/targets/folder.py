"""A folder, on a volume or anywhere else in the file system."""

from __future__ import annotations

import contextlib
import fcntl
import filecmp
import hashlib
import os
import shutil
from typing import TYPE_CHECKING, BinaryIO

from usage_collector.errors import DeliveryFailed
from usage_collector.files import flush_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from usage_collector.targets.parcel import Parcel

_PART = ".part"


class Folder:
    """Delivers into sub-folders of ``root``: each file is there whole or not at all."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def name(self) -> str:
        """Its path."""
        return str(self._root)

    def where(self, folder: str) -> str:
        """The sub-folder's path."""
        return f"{self._root}/{folder}"

    def held(self, folder: str) -> dict[str, str]:
        """The files in that sub-folder with their SHA-256."""
        found = {}
        with _told(self._root / folder), contextlib.suppress(FileNotFoundError):
            for path in sorted((self._root / folder).iterdir()):
                if path.is_file() and not path.name.startswith("."):
                    with path.open("rb") as file:
                        found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
        return found

    def fetch(self, folder: str, name: str) -> bytes | None:
        """A file's content."""
        with _told(self._root / folder), contextlib.suppress(FileNotFoundError):
            return (self._root / folder / name).read_bytes()
        return None

    def deliver(self, parcel: Parcel) -> list[str]:
        """Copies the files there; what is there already with the same content stays as it is."""
        there = self._root / parcel.folder
        with _told(there):
            there.mkdir(parents=True, exist_ok=True)
            flush_folder(there.parent)
            new = [path.name for path in parcel.files if _place(path, there / path.name)]
            flush_folder(there)
        return new


@contextlib.contextmanager
def _told(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DeliveryFailed(
            f"{error.filename or place}: {error.strerror}",
            "check the folder's rights and free space; the next run goes on from here",
        ) from error


def _place(source: Path, path: Path) -> bool:
    """Copies a file beside its place, flushes it, and names it; False when it was there."""
    if _is_there(source, path):
        return False
    part = path.with_name(f".{path.name}{_PART}")
    with part.open("ab") as out:
        try:
            fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DeliveryFailed(f"{part} is being written by another run", "wait for it") from None
        try:
            # Another run may have named the very file that is open here since it was looked for.
            if _is_there(source, path):
                return False
            out.truncate(0)
            with source.open("rb") as file:
                shutil.copyfileobj(file, out, 1024 * 1024)
            out.flush()
            os.fsync(out.fileno())
            part.rename(path)
        finally:
            _clear(part, out)
    return True


def _clear(part: Path, out: BinaryIO) -> None:
    """Removes what could not be finished: it would take room on a full disk."""
    with contextlib.suppress(OSError):
        if os.path.samestat(part.stat(), os.fstat(out.fileno())):
            part.unlink()


def _is_there(source: Path, path: Path) -> bool:
    """Whether that content is there under that name; `DeliveryFailed` for another content."""
    if not path.exists():
        return False
    if not filecmp.cmp(source, path, shallow=False):
        raise DeliveryFailed(
            f"{path} is another file than the one to be delivered",
            "nothing is ever overwritten; move it away if it does not belong there",
        )
    return True
