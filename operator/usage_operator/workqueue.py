"""A queue of keys: each is worked on by one worker at a time, and again when it changed meanwhile.

The design is that of client-go's workqueue: many events about one key are one piece of work. As in
controller-runtime's priority queue, what changed goes before what is only looked at again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
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
_TURN = 16
"""Of so many keys that are begun one is only looked at again, so that none waits for ever."""


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
    """What the queue knows of a key: when it is due, whether it is, and what comes of it."""

    timer: asyncio.TimerHandle | None = None
    due: bool = False
    urgent: bool = False
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
        self._jitter = jitter
        self._entries: dict[K, _Entry] = {}
        self._urgent: deque[K] = deque()
        self._routine: deque[K] = deque()
        self._workers = workers
        self._busy = 0
        self._begun = 0
        self._closed = False

    def __len__(self) -> int:
        """Count the keys that are waiting or being worked on."""
        return len(self._entries)

    def failures(self, key: K) -> int:
        """Count the failures in a row of a key."""
        entry = self._entries.get(key)
        return entry.failures if entry else 0

    def add(self, key: K, after: float = 0.0, *, urgent: bool = False) -> None:
        """Ask for a key to be worked on, at the latest in so many seconds; ``urgent``: first."""
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        moment = loop.time() + after
        entry = self._entries.setdefault(key, _Entry())
        hastened = urgent and not entry.urgent
        entry.urgent = entry.urgent or urgent
        if entry.task is not None:
            entry.again = moment if entry.again is None else min(entry.again, moment)
        elif entry.due:
            if hastened:
                self._urgent.append(key)
        elif entry.timer is None or entry.timer.when() > moment:
            if entry.timer is not None:
                entry.timer.cancel()
            entry.timer = loop.call_at(moment, self._enter, key)

    def _enter(self, key: K) -> None:
        """Put a key, whose time has come, in line."""
        entry = self._entries[key]
        entry.timer, entry.due = None, True
        (self._urgent if entry.urgent else self._routine).append(key)
        self._begin()

    def _begin(self) -> None:
        """Begin the next keys, as long as workers are free."""
        while self._busy < self._workers and not self._closed and (self._urgent or self._routine):
            routine = bool(self._routine) and (not self._urgent or self._begun % _TURN == 0)
            key = (self._routine if routine else self._urgent).popleft()
            entry = self._entries.get(key)
            # A key that was hastened stands in both lines.
            if entry is not None and entry.due:
                entry.due = entry.urgent = False
                self._begun += 1
                self._busy += 1
                entry.task = asyncio.create_task(self._work(key, entry), name=f"work on {key}")

    async def _work(self, key: K, entry: _Entry) -> None:
        wait: float | None = None
        try:
            wait = await self._handler(key)
            if wait is not None:
                waiting = len(self._urgent) + len(self._routine)
                wait = stretched(wait, waiting / self._workers)
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
        self._busy -= 1
        self._begin()

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
