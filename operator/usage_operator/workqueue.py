"""A queue of keys: each is worked on by one worker at a time, and again when it changed meanwhile.

The design is that of client-go's workqueue: many events about one key are one piece of work.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from usage_operator import errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

K = TypeVar("K", bound="Hashable")

_log = logging.getLogger(__name__)

FIRST_WAIT = 0.5
LONGEST_WAIT = 120.0
LONGEST_PATIENCE = 60.0
_WORKERS = 8


def backoff(failures: int, retry_after: float | None, jitter: float) -> float:
    """Give the seconds to wait after so many failures in a row; jitter is between 0 and 1.

    Doubles from FIRST_WAIT to LONGEST_WAIT, of which jitter takes off up to a half, so that many
    keys that failed together do not come back together; never less than the server asked for.
    """
    wait = min(FIRST_WAIT * 2.0 ** min(failures - 1, 20), LONGEST_WAIT) * (1 - jitter / 2)
    return max(wait, retry_after * (1 + jitter / 10) if retry_after else 0.0)


def stretched(wait: float, load: float) -> float:
    """Give the seconds after which a key is looked at again without cause.

    ``load`` is how many keys wait for each worker: who has been looked at gives way to them, for
    a minute at most.
    """
    return max(wait, min(wait * (1 + load), LONGEST_PATIENCE))


@dataclass(slots=True)
class _Entry:
    """What the queue knows of a key."""

    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None
    again: float | None = None
    failures: int = 0


class WorkQueue(Generic[K]):
    """Calls ``handler(key)``, which gives the seconds until it wants the key again, or None."""

    def __init__(
        self,
        handler: Callable[[K], Awaitable[float | None]],
        *,
        workers: int = _WORKERS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._handler = handler
        self._slots = asyncio.Semaphore(workers)
        self._jitter = jitter
        self._entries: dict[K, _Entry] = {}
        self._waiting = 0
        self._workers = workers
        self._closed = False

    def __len__(self) -> int:
        """Count the keys that are waiting or being worked on."""
        return len(self._entries)

    def failures(self, key: K) -> int:
        """Count the failures in a row of a key."""
        entry = self._entries.get(key)
        return entry.failures if entry else 0

    def add(self, key: K, after: float = 0.0) -> None:
        """Ask for a key to be worked on, at the latest in so many seconds."""
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + after
        entry = self._entries.setdefault(key, _Entry())
        if entry.task is not None:
            entry.again = due if entry.again is None else min(entry.again, due)
            return
        if entry.timer is not None:
            if entry.timer.when() <= due:
                return
            entry.timer.cancel()
        entry.timer = loop.call_at(due, self._start, key)

    def _start(self, key: K) -> None:
        entry = self._entries[key]
        entry.timer = None
        entry.task = asyncio.create_task(self._work(key, entry), name=f"work on {key}")

    async def _work(self, key: K, entry: _Entry) -> None:
        wait: float | None = None
        try:
            self._waiting += 1
            try:
                await self._slots.acquire()
            finally:
                self._waiting -= 1
            try:
                wait = await self._handler(key)
            finally:
                self._slots.release()
            if wait is not None:
                wait = stretched(wait, self._waiting / self._workers)
            entry.failures = 0
        except errors.OperatorError as error:
            wait = self._failed(entry, error)
            _log.warning("%s: %s; next attempt in %.1f s", key, error, wait)
        except Exception as error:
            wait = self._failed(entry, error)
            _log.exception("%s: unexpected error; next attempt in %.1f s", key, wait)
        entry.task = None
        again, entry.again = entry.again, None
        if again is not None:
            self.add(key, max(0.0, again - asyncio.get_running_loop().time()))
        if wait is not None:
            self.add(key, wait)
        if entry.timer is None and self._entries.get(key) is entry:
            del self._entries[key]

    def _failed(self, entry: _Entry, error: Exception) -> float:
        entry.failures += 1
        retry_after = error.retry_after if isinstance(error, errors.ApiError) else None
        return backoff(entry.failures, retry_after, self._jitter())

    async def close(self, grace: float = 5.0) -> None:
        """Take no more keys; let what is running finish for so many seconds, then cancel it."""
        self._closed = True
        for entry in self._entries.values():
            if entry.timer is not None:
                entry.timer.cancel()
        tasks = [entry.task for entry in self._entries.values() if entry.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*late, return_exceptions=True)
