"""Backups in a bucket of anything that speaks S3; an object is there whole or not at all.

Two at once are kept apart by an object that only one of them can make (If-None-Match), and that
whoever works renews; one that was not renewed for long is taken over (If-Match). How long that is
the server's clock says alone: those of two hosts may be minutes apart.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import uuid
from itertools import chain
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from usage_collector.backup.sealing import Unsealed
from usage_collector.backup.stores import Part, missing
from usage_collector.errors import Conflict
from usage_collector.targets.s3 import client, failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from obstore import BytesStream, ObjectMeta, PutResult, UpdateVersion
    from obstore.store import S3Store

    from usage_collector.backup.stores import Store
    from usage_collector.packages.scanner import Readable

_STALE_SECONDS = 60.0
"""Who has not renewed a lock for so long is taken for gone: before a job's last attempt is."""
_RENEW_SECONDS = 4.0
_PROCESS = uuid.uuid4().hex
"""In containers neither the host's name nor the process id need be anybody's own."""
_CHUNK = 1024 * 1024
_ONE_PUT = 8 * 1024 * 1024
"""Bytes that are held in memory to be uploaded at once."""


class Bucket:
    """One collector's backup below a prefix."""

    def __init__(self, name: str, prefix: str, store: S3Store) -> None:
        self.name = name
        self._prefix = prefix
        self._store = store
        self._part = Part.BASE
        self._renewed = 0.0
        self._held: UpdateVersion | None = None

    @contextlib.contextmanager
    def lock(self, part: Part = Part.BASE) -> Iterator[None]:
        """Only one writes at a time. An object of this class holds one lock at a time."""
        self._part = part
        with self._told():
            self._held = self._take()
        self._renewed = time.monotonic()
        try:
            yield
        finally:
            # One that another took over is not ours to remove.
            with self._told(), contextlib.suppress(Conflict):
                self._renew()
            if self._held is not None:
                self._held = None
                with self._told():
                    obstore.delete(self._store, self._key(self._part))

    def read(self, name: str) -> bytes | None:
        """A small object's content."""
        with self._told(), contextlib.suppress(FileNotFoundError):
            return bytes(obstore.get(self._store, self._key(name)).bytes())
        return None

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Readable]:
        """An object, to be read."""
        with self._told():
            try:
                found = obstore.get(self._store, self._key(name))
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                raise missing(self.name, name) from None
            stream = found.stream(min_chunk_size=_CHUNK)
            yield Unsealed(self._held_meanwhile(stream))

    def _held_meanwhile(self, stream: BytesStream) -> Iterator[bytes]:
        """All of a backup may be read under the lock, which takes longer than that lasts."""
        for chunk in stream:
            self._renew()
            yield bytes(chunk)

    def write(self, name: str, pieces: Iterable[bytes]) -> int:
        """Named when all of it is there; in one request where it is not too large for that.

        Parts that were uploaded by themselves stay, unseen and paid for, when nobody joins them.
        """
        size = 0

        def counted() -> Iterator[bytes]:
            nonlocal size
            for piece in pieces:
                size += len(piece)
                yield piece

        with self._told():
            self._renew()
            coming = counted()
            first = _first(coming)
            if len(first) < _ONE_PUT:
                obstore.put(self._store, self._key(name), first, use_multipart=False)
            else:
                obstore.put(self._store, self._key(name), chain([first], coming))
        return size

    def files(self, folder: str) -> set[str]:
        """All objects there."""
        start = self._key(folder)
        with self._told():
            found = {
                one["path"] for page in obstore.list(self._store, prefix=start) for one in page
            }
        return {path.removeprefix(self._key("")) for path in found}

    def remove(self, names: Iterable[str]) -> None:
        """Removes objects."""
        keys = [self._key(name) for name in names]
        with self._told():
            self._renew()
            if keys:
                obstore.delete(self._store, keys)

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _take(self) -> UpdateVersion:
        key = self._key(self._part)
        try:
            return _this(obstore.put(self._store, key, _whose(), mode="create"))
        except AlreadyExistsError:
            with contextlib.suppress(PreconditionError, FileNotFoundError):
                return _this(self._take_over(key))
            raise self._busy() from None

    def _take_over(self, key: str) -> PutResult:
        """Take the place of a process that is gone; an exception where it changes meanwhile."""
        found = obstore.get(self._store, key)
        age = self._now() - found.meta["last_modified"].timestamp()
        # One of our own that could not be removed, since the server was away, holds up nobody.
        ours = bytes(found.bytes()).startswith(_whose())
        if age < _STALE_SECONDS and not ours:
            raise self._busy()
        return obstore.put(self._store, key, _whose(), mode=_this(found.meta))

    def _now(self) -> float:
        """The server's clock, as it dates an object that is made for that."""
        key = f"{self._key(self._part)}.{_PROCESS}"
        obstore.put(self._store, key, _whose())
        moment = obstore.head(self._store, key)["last_modified"]
        obstore.delete(self._store, key)
        return moment.timestamp()

    def _renew(self) -> None:
        """Say that the lock is still held; `Conflict` when another took it over."""
        if self._held is None or time.monotonic() - self._renewed < _RENEW_SECONDS:
            return
        text = _whose() + b" %d" % time.monotonic()
        try:
            made = obstore.put(self._store, self._key(self._part), text, mode=self._held)
        except (PreconditionError, FileNotFoundError) as error:
            if "NoSuchBucket" in str(error):
                raise
            self._held = None
            raise self._busy() from None
        self._held = _this(made)
        self._renewed = time.monotonic()

    def _busy(self) -> Conflict:
        return Conflict(
            f"another backup to {self.name} is under way",
            "wait until it is done; one that was killed counts for a minute",
        )

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise failure(self.name, str(error)) from None
        except (BaseError, OSError, ValueError) as error:
            raise failure(self.name, str(error)) from None


def _first(pieces: Iterator[bytes]) -> bytes:
    """All of it, or enough to see that it is too large for one request."""
    found = bytearray()
    for piece in pieces:
        found += piece
        if len(found) >= _ONE_PUT:
            break
    return bytes(found)


def _whose() -> bytes:
    """This process."""
    return f"{socket.gethostname()} {os.getpid()} {_PROCESS}".encode()


def _this(found: ObjectMeta | PutResult) -> UpdateVersion:
    """An object as it is now, to be replaced only while it is."""
    version = found["version"]
    this: UpdateVersion = {"e_tag": found["e_tag"]}
    return {**this, "version": version} if version else this


class BucketPlace:
    """A bucket with the backups of many collectors, each below its name."""

    def __init__(self, text: str) -> None:
        self.name, self._prefix, self._store = client(text, os.environ)

    def of(self, collector: str) -> Store:
        """One collector's."""
        prefix = f"{self._prefix}/{collector}" if self._prefix else collector
        return Bucket(f"{self.name.split('?')[0]}/{collector}", prefix, self._store)

    def collectors(self) -> list[str]:
        """Those that have one."""
        start = f"{self._prefix}/" if self._prefix else None
        try:
            found = obstore.list_with_delimiter(self._store, prefix=start)["common_prefixes"]
        except (BaseError, OSError, ValueError) as error:
            raise failure(self.name, str(error)) from None
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found)
