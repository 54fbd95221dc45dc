"""Files that must survive a power cut, and files that others change under us."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from usage_collector.errors import Conflict, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Error numbers of a disk without room."""


def flush_folder(folder: Path) -> None:
    """Make the folder's entries durable (new names, removed names)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder for our user alone, durably, with those above it."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        flush_folder(folder.parent)


def write_durably(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file in one step; when this returns, the new bytes survive a power cut.

    Raises:
        StorageUnavailable: the disk is full; the old file is still there.
        OSError: anything else.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        flush_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if error.errno in FULL:
            raise StorageUnavailable(
                f"no space left to write {path.name}", "free space on the data volume or grow it"
            ) from None
        raise


def keep(path: Path, data: bytes, what: str) -> None:
    """As `write_durably`, of what a client gave: ``what`` it is stands in the error.

    Raises:
        StorageUnavailable: it cannot be written; the old file is still there.
    """
    try:
        write_durably(path, data)
    except OSError as error:
        raise StorageUnavailable(
            f"{what} cannot be written: {error.strerror}", "look at the volume"
        ) from None


def read_only(what: str) -> StorageUnavailable:
    """The error of what cannot be written because its file system is read-only."""
    return StorageUnavailable(
        f"{what} is on a read-only file system", "look at the volume and its node's kernel log"
    )


def lock(path: Path) -> int:
    """Take an exclusive lock that ends with the process; returns the descriptor to keep.

    Raises:
        Conflict: another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Conflict(
            f"the data folder {path.parent} is in use by another process",
            "stop that collector first, or give this one a folder of its own (USAGE_DATA_DIR)",
        ) from None
    return descriptor


def fingerprint(paths: Iterable[Path | None]) -> tuple[tuple[int, int, int] | None, ...]:
    """Something that differs when one of the files was changed, replaced or removed."""
    return tuple(_stamp(path) for path in paths)


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    try:
        status = path.stat() if path else None
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if status else None
