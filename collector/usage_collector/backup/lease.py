"""One writer at a time in a bucket, which knows no locks: an object that says who it is.

Only one process can make it (If-None-Match), and a thread renews it for as long as that process
lives, whatever it waits for. One that was not renewed for long is taken over (If-Match). How long
that is the server's clock says alone: those of two hosts may be minutes apart.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from usage_collector.errors import Conflict

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutResult, UpdateVersion
    from obstore.store import S3Store

TROUBLE = (BaseError, OSError, ValueError)
"""What requests to a bucket raise."""
_STALE_SECONDS = 60.0
"""Who has not renewed a lease for so long is taken for gone: before a job's last attempt is."""
_BEAT_SECONDS = 20.0
_SURE_SECONDS = 4.0
"""Who renewed it so lately holds it without asking."""
_PROCESS = uuid.uuid4().hex
"""In containers neither the host's name nor the process id need be anybody's own."""


class Lease:
    """Held from the time it is made on; ``place`` is how people call what it is for.

    Raises:
        Conflict: another process holds it.
    """

    def __init__(self, store: S3Store, key: str, place: str) -> None:
        self._store = store
        self._key = key
        self._place = place
        self._whose = _whose() + b" " + uuid.uuid4().hex.encode()
        self._alone = threading.Lock()
        self._done = threading.Event()
        self._mine: UpdateVersion | None = self._take()
        self._renewed = time.monotonic()
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._beating.start()

    def assure(self) -> None:
        """`Conflict` when another took it over, as from a process that had slept."""
        with self._alone:
            if self._mine is None:
                raise self._busy()
            if time.monotonic() - self._renewed >= _SURE_SECONDS:
                self._renew()

    def release(self) -> None:
        """Make room for others; one that another took over is not ours to remove."""
        self._done.set()
        self._beating.join()
        with suppress(Conflict):
            self.assure()
            obstore.delete(self._store, self._key)

    def _beat(self) -> None:
        while not self._done.wait(_BEAT_SECONDS):
            # Whoever writes next learns of trouble by itself.
            with suppress(Conflict, *TROUBLE):
                self.assure()

    def _renew(self) -> None:
        try:
            made = self._put()
        except (PreconditionError, FileNotFoundError) as error:
            if "NoSuchBucket" in str(error):
                raise
            # It may be as we wrote it ourselves, and the answer was lost on its way.
            self._mine = self._found()
            if self._mine is None:
                raise self._busy() from None
            made = self._put()
        self._mine = _this(made)
        self._renewed = time.monotonic()

    def _put(self) -> PutResult:
        text = self._whose + b" %d" % time.monotonic()
        return obstore.put(self._store, self._key, text, mode=self._mine)

    def _found(self) -> UpdateVersion | None:
        with suppress(FileNotFoundError):
            found = obstore.get(self._store, self._key)
            if bytes(found.bytes()).startswith(self._whose):
                return _this(found.meta)
        return None

    def _take(self) -> UpdateVersion:
        try:
            return _this(obstore.put(self._store, self._key, self._whose, mode="create"))
        except AlreadyExistsError:
            with suppress(PreconditionError, FileNotFoundError):
                return _this(self._take_over())
            raise self._busy() from None

    def _take_over(self) -> PutResult:
        """Take the place of a process that is gone; an exception where it changes meanwhile."""
        found = obstore.get(self._store, self._key)
        age = self._now() - found.meta["last_modified"].timestamp()
        # One of our own that could not be removed, since the server was away, holds up nobody.
        ours = bytes(found.bytes()).startswith(_whose())
        if age < _STALE_SECONDS and not ours:
            raise self._busy()
        return obstore.put(self._store, self._key, self._whose, mode=_this(found.meta))

    def _now(self) -> float:
        """The server's clock, as it dates an object that is made for that."""
        key = f"{self._key}.{_PROCESS}"
        obstore.put(self._store, key, _whose())
        moment = obstore.head(self._store, key)["last_modified"]
        obstore.delete(self._store, key)
        return moment.timestamp()

    def _busy(self) -> Conflict:
        return Conflict(
            f"another backup to {self._place} is under way",
            "wait until it is done; one that was killed counts for a minute",
        )


def _whose() -> bytes:
    """This process."""
    return f"{socket.gethostname()} {os.getpid()} {_PROCESS}".encode()


def _this(found: ObjectMeta | PutResult) -> UpdateVersion:
    """An object as it is now, to be replaced only while it is."""
    version = found["version"]
    this: UpdateVersion = {"e_tag": found["e_tag"]}
    return {**this, "version": version} if version else this
