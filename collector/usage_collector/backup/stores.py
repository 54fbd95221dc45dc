"""Where backups lie: files by name in a place that takes each whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol
from urllib.parse import urlsplit

from usage_collector import files
from usage_collector.backup.index import INDEXES
from usage_collector.errors import (
    Conflict,
    Damaged,
    DeliveryFailed,
    InvalidInput,
    StorageUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

    from usage_collector.packages.scanner import Readable

PACKAGES = "packages"
TAIL_FOLDER = "tail"
MANIFESTS = "manifests"
_PART = ".part"


class Part(StrEnum):
    """What of a backup has one writer at a time: the name of its lock."""

    BASE = "lock"
    TAIL = "tail.lock"


class Store(Protocol):
    """One collector's backup. Trouble is `DeliveryFailed`, a full place `StorageUnavailable`."""

    @property
    def name(self) -> str:
        """How people call the place."""

    def lock(self, part: Part = Part.BASE) -> AbstractContextManager[None]:
        """Only one writes a part at a time; `Conflict` while another does."""

    def read(self, name: str) -> bytes | None:
        """A small file's content, None when there is none; `Damaged` when it cannot be read."""

    def open(self, name: str) -> AbstractContextManager[Readable]:
        """A file, to be read from front to back; `Damaged` when it is not there or unreadable."""

    def write(self, name: str, pieces: Iterable[bytes]) -> int:
        """Keeps a file durably, in one step; its size."""

    def files(self, folder: str) -> set[str]:
        """The names of all files in a folder, with its name before them."""

    def remove(self, names: Iterable[str]) -> None:
        """Removes files; those that are not there do not matter."""


class Folder:
    """A folder, on a volume or anywhere else in the file system."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def name(self) -> str:
        """Its path."""
        return str(self._root)

    @contextlib.contextmanager
    def lock(self, part: Part = Part.BASE) -> Iterator[None]:
        """The lock ends with the process, however that ends."""
        with self.told():
            files.make_folder(self._root)
            try:
                descriptor = files.lock(self._root / f".{part}")
            except Conflict:
                raise Conflict(
                    f"another backup to {self._root} is under way", "wait until it is done"
                ) from None
        try:
            yield
        finally:
            os.close(descriptor)

    def read(self, name: str) -> bytes | None:
        """A small file's content."""
        with self.told(name):
            try:
                return (self._root / name).read_bytes()
            except FileNotFoundError:
                return None

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Readable]:
        """A file, to be read."""
        with self.told(name):
            try:
                file = (self._root / name).open("rb")
            except FileNotFoundError:
                raise missing(self.name, name) from None
        with file:
            yield _File(file, self, name)

    def write(self, name: str, pieces: Iterable[bytes]) -> int:
        """Written beside its place, flushed, and named."""
        path = self._root / name
        part = path.with_name(f".{path.name}{_PART}")
        with self.told():
            files.make_folder(path.parent)
            try:
                with part.open("wb") as out:
                    for piece in pieces:
                        out.write(piece)
                    out.flush()
                    os.fsync(out.fileno())
                    size = out.tell()
                part.rename(path)
                files.flush_folder(path.parent)
            finally:
                part.unlink(missing_ok=True)
        return size

    def files(self, folder: str) -> set[str]:
        """Half written ones too."""
        with self.told(), contextlib.suppress(FileNotFoundError):
            return {f"{folder}/{path.name}" for path in (self._root / folder).iterdir()}
        return set()

    def remove(self, names: Iterable[str]) -> None:
        """Removes files."""
        with self.told():
            for name in names:
                (self._root / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def told(self, reading: str = "") -> Iterator[None]:
        """Trouble with the file system is told as trouble with the place.

        A file that the disk cannot read is as good as altered: the others may be whole.
        """
        try:
            yield
        except OSError as error:
            place = error.filename or self._root
            if error.errno in files.FULL:
                raise StorageUnavailable(
                    f"{place}: {error.strerror}",
                    "give the backup more room (spec.backup.destination.volume.size)",
                ) from error
            if error.errno == errno.EIO and reading:
                raise Damaged(
                    f"{reading} cannot be read in {self.name}: {error.strerror}",
                    "look at that volume, and put a copy of the file back; the others are whole",
                ) from error
            hint = "check the folder and its rights"
            if error.errno == errno.EIO:
                hint = "look at that volume and the kernel's log of its node"
            raise DeliveryFailed(f"{place}: {error.strerror}", hint) from error


class _File:
    """A file of a folder."""

    def __init__(self, file: BinaryIO, folder: Folder, name: str) -> None:
        self._file = file
        self._folder = folder
        self._name = name

    def read(self, size: int, /) -> bytes:
        """The next bytes, none at the end."""
        with self._folder.told(self._name):
            return self._file.read(size)


def missing(place: str, name: str) -> Damaged:
    """A file is named and not there."""
    return Damaged(f"{name} is missing in {place}", "put a copy of it back; the others are whole")


class Place(Protocol):
    """Where the backups of many collectors lie, each under its name."""

    name: str

    def of(self, collector: str) -> Store:
        """One collector's."""

    def collectors(self) -> list[str]:
        """Those that have one."""


def folder_name(collector: str) -> str:
    """A collector's name as that of a folder."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", collector).lstrip(".") or "_"


class FolderPlace:
    """A folder with a folder for each collector."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.name = str(root)

    def of(self, collector: str) -> Store:
        """One collector's."""
        return Folder(self._root / folder_name(collector))

    def collectors(self) -> list[str]:
        """Those that have one."""
        try:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                next(iter(self._root.iterdir()), None)  # `glob` finds nothing where it may not look
            found = (path for name in INDEXES for path in self._root.glob(f"*/{name}"))
            return sorted({path.parent.name for path in found})
        except OSError as error:
            raise DeliveryFailed(f"{self._root}: {error.strerror}", "check the folder") from error


def place(text: str) -> Place:
    """The place that a text names; `InvalidInput` for a kind that is not known."""
    try:
        scheme = urlsplit(text).scheme
    except ValueError as error:
        raise InvalidInput(f"{text.split('?')[0]!r} is no place: {error}", "check it") from None
    if scheme == "s3":
        # Takes a while to import, and is there for those who use it.
        from usage_collector.backup.bucket import BucketPlace

        return BucketPlace(text)
    path = text.removeprefix("file://")
    if not path or (scheme and scheme != "file"):
        shown = text.split("?")[0]
        raise InvalidInput(f"{shown!r} is no place for backups", "a folder or s3://BUCKET/PREFIX")
    return FolderPlace(Path(path))
