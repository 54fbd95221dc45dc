"""Backups in a bucket of anything that speaks S3; an object is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from itertools import chain
from typing import TYPE_CHECKING

import obstore

from usage_collector.backup.index import INDEXES
from usage_collector.backup.lease import TROUBLE, Lease
from usage_collector.backup.sealing import Unsealed
from usage_collector.backup.stores import Part, folder_name, missing
from usage_collector.targets.s3 import client, failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from obstore.store import S3Store

    from usage_collector.backup.stores import Store
    from usage_collector.packages.scanner import Readable

_CHUNK = 1024 * 1024
_ONE_PUT = 8 * 1024 * 1024
"""Bytes that are held in memory to be uploaded at once."""


class Bucket:
    """One collector's backup below a prefix."""

    def __init__(self, name: str, prefix: str, store: S3Store) -> None:
        self.name = name
        self._prefix = prefix
        self._store = store
        self._lease: Lease | None = None

    @contextlib.contextmanager
    def lock(self, part: Part = Part.BASE) -> Iterator[None]:
        """Only one writes at a time. An object of this class holds one lock at a time."""
        with self._told():
            self._lease = lease = Lease(self._store, self._key(part), self.name)
        try:
            yield
        finally:
            self._lease = None
            with self._told():
                lease.release()

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
            yield Unsealed(bytes(chunk) for chunk in stream)

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
            self._assure()
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
            self._assure()
            if keys:
                obstore.delete(self._store, keys)

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _assure(self) -> None:
        if self._lease:
            self._lease.assure()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise failure(self.name, str(error)) from None
        except TROUBLE as error:
            raise failure(self.name, str(error)) from None


def _first(pieces: Iterator[bytes]) -> bytes:
    """All of it, or enough to see that it is too large for one request."""
    found = bytearray()
    for piece in pieces:
        found += piece
        if len(found) >= _ONE_PUT:
            break
    return bytes(found)


class BucketPlace:
    """A bucket with the backups of many collectors, each below its name."""

    def __init__(self, text: str) -> None:
        self.name, self._prefix, self._store = client(text, os.environ)

    def of(self, collector: str) -> Store:
        """One collector's."""
        folder = folder_name(collector)
        prefix = f"{self._prefix}/{folder}" if self._prefix else folder
        return Bucket(f"{self.name.split('?')[0]}/{folder}", prefix, self._store)

    def collectors(self) -> list[str]:
        """Those that have one."""
        start = f"{self._prefix}/" if self._prefix else None
        try:
            found = obstore.list_with_delimiter(self._store, prefix=start)["common_prefixes"]
            # Months may be delivered to the same place, each in a folder of its own.
            backups = [path for one in found if self._is_backup(path := one.rstrip("/"))]
            return sorted(path.rpartition("/")[2] for path in backups)
        except TROUBLE as error:
            raise failure(self.name, str(error)) from None

    def _is_backup(self, path: str) -> bool:
        there = obstore.list_with_delimiter(self._store, prefix=f"{path}/")["objects"]
        return any(one["path"].rpartition("/")[2] in INDEXES for one in there)
