"""Connections to SQLite with page checksums, and what its errors mean to us.

The checksum extension keeps 8 bytes of each page; a page whose bytes changed on the disk is then
refused instead of handed out (https://sqlite.org/cksumvfs.html).
"""

from __future__ import annotations

import errno
import functools
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import apsw
import apsw.sqlite_extra

from usage_collector.errors import Damaged, StorageUnavailable
from usage_collector.files import read_only

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_log = logging.getLogger(__name__)

PAGE_BYTES = 4096
_VFS = "cksmvfs"
_BUSY_MS = 5000
_LOG_BUSY_MS = 500
_CHANGED_ON_DISK = frozenset({apsw.SQLITE_IOERR_DATA, apsw.SQLITE_IOERR_CORRUPTFS})
_FLUSHES = frozenset({apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC})
_NO_ROOM = frozenset({apsw.SQLITE_IOERR_SHMSIZE, apsw.SQLITE_IOERR_SHMOPEN})


class Busy(StorageUnavailable):
    """Another program holds the database."""


class DiskFailed(StorageUnavailable):
    """Reading or writing failed for another reason than a full disk."""


@functools.cache
def _load_checksums() -> None:
    connection = apsw.Connection(":memory:")
    apsw.sqlite_extra.load(connection, "cksumvfs")
    connection.close()


def create(path: Path, schema: str) -> None:
    """Make a new database with that schema, for our user alone.

    The caller makes the folder durable.
    """
    _load_checksums()
    with translated(path.name):
        connection = apsw.Connection(str(path), vfs=_VFS)
        try:
            # Its log is made like it.
            path.chmod(0o600)
            connection.reserve_bytes(None, 8)
            connection.pragma("page_size", PAGE_BYTES)
            connection.pragma("auto_vacuum", "incremental")
            connection.pragma("journal_mode", "wal")
            connection.pragma("synchronous", "full")
            connection.execute(schema).fetchall()
        finally:
            connection.close()


def open_writer(path: Path) -> apsw.Connection:
    """The one connection that writes and checkpoints."""
    connection = _open(path)
    connection.pragma("synchronous", "full")
    connection.pragma("wal_autocheckpoint", 0)
    connection.pragma("cache_size", -24576)
    return connection


def open_reader(path: Path) -> apsw.Connection:
    """A connection that never changes the database, nor its log when it closes."""
    connection = _open(path)
    connection.pragma("query_only", 1)
    connection.pragma("cache_size", -4096)
    return connection


def empty_log(connection: apsw.Connection, what: str) -> bool:
    """Move the whole log into the database and truncate it, unless someone still reads from it."""
    connection.set_busy_timeout(_LOG_BUSY_MS)
    try:
        with translated(what), read_only_told(connection):
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except Busy:
        _log.info("%s: its log stays until nobody reads from it", what)
        return False
    finally:
        connection.set_busy_timeout(_BUSY_MS)
    return True


def _open(path: Path) -> apsw.Connection:
    _load_checksums()
    if not path.is_file():
        raise Damaged(f"{path} is missing", "restore a backup")
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=_VFS)
    connection.set_busy_timeout(_BUSY_MS)
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.pragma("temp_store", "memory")
    if connection.pragma("checksum_verification") != "1":
        connection.close()
        raise Damaged(f"{path} has no page checksums", "it was not made by this program")
    return connection


@contextmanager
def transaction(connection: apsw.Connection, kind: str) -> Iterator[None]:
    """All or nothing: commits at the end, rolls back on any error."""
    connection.execute(f"BEGIN {kind}")
    try:
        with read_only_told(connection):
            yield
            connection.execute("COMMIT")
    finally:
        # After a failed commit SQLite may have rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def read_only_told(connection: apsw.Connection) -> Iterator[None]:
    """A volume that became read-only is told from one that fails: nothing was written at all.

    A flush that fails is never anything but a failure.
    """
    try:
        yield
    except apsw.IOError as error:
        flushed = getattr(error, "extendedresult", 0) in _FLUSHES
        if not flushed and connection.system_errno == errno.EROFS:
            raise apsw.ReadOnlyError(str(error)) from None
        raise


@contextmanager
def translated(what: str) -> Iterator[None]:
    """SQLite's errors as ours: `StorageUnavailable`, `Busy`, `Damaged` or `DiskFailed`."""
    try:
        yield
    except apsw.FullError:
        raise _full() from None
    except apsw.ReadOnlyError:
        raise read_only(what) from None
    except (apsw.BusyError, apsw.LockedError):
        raise Busy(f"{what} is in use by another program", "try again shortly") from None
    # Our statements are fixed: one that cannot even be prepared meets tables that are not ours.
    except (apsw.CorruptError, apsw.NotADBError, apsw.FormatError, apsw.SQLError) as error:
        raise _damaged(what, error) from None
    except (apsw.IOError, apsw.CantOpenError) as error:
        code = getattr(error, "extendedresult", 0)
        if code in _CHANGED_ON_DISK:
            raise _damaged(what, error) from None
        if code in _NO_ROOM:
            raise _full() from None
        raise DiskFailed(
            f"{what}: {error} (SQLite code {code})", "look at the volume and its node's kernel log"
        ) from None


def _full() -> StorageUnavailable:
    return StorageUnavailable("the disk is full", "free space on the data volume or grow it")


def _damaged(what: str, error: Exception) -> Damaged:
    return Damaged(
        f"{what} is not what was written: {error}", "see usage-collector check; restore a backup"
    )
