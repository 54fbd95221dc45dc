"""The one thread that writes: many requests in one transaction, answered once it is durable."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from usage_collector.errors import Damaged, StorageUnavailable
from usage_collector.ledger.sqlite import Busy, DiskFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from usage_collector.events import Event
    from usage_collector.ledger.book import Book
    from usage_collector.ledger.space import Space

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

MAX_GROUP = 2000
"""Events in one transaction, about: it ends with the request that reaches this."""
MAX_WAITING = 20_000
"""Events that may wait; more are refused, so that memory stays bounded."""
HEAD_SECONDS = 0.9
TIDY_SECONDS = 0.2
SEAL_SECONDS = 0.004
"""Whoever stores meanwhile waits: with 10 ms, if less often, one request in thirty did."""
BUSY_EVENTS = 32
"""When more than that wait, they come first; what comes so fast is in large blocks anyway."""
_IDLE_SECONDS = 0.5


@dataclass(slots=True)
class _Task:
    """Events to store, or something else to do with the live ledger."""

    work: Sequence[Event] | Callable[[Book], Any]
    future: Future[Any] | asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop | None = None
    size: int = 0


def die(reason: str) -> NoReturn:
    """End the process at once: after a failed flush nobody knows what is on the disk."""
    _log.critical("ending, since what is on the disk is unknown: %s", reason)
    logging.shutdown()
    os._exit(74)


class Writer:
    """Owns the live ledger; every method may be called from any thread.

    ``replace`` closes a damaged ledger and opens a new one, and may be tried again where that
    fails; ``now`` is the clock, in µs.
    """

    def __init__(
        self,
        book: Book,
        replace: Callable[[Book, str], Book],
        space: Space,
        now: Callable[[], int],
        observe: Callable[[float, int], None],
    ) -> None:
        self.book = book
        self.committed_at = time.monotonic()
        self._tidied_at = self.committed_at
        self._replace = replace
        self._damage: str | None = None
        self._space = space
        self._now = now
        self._observe = observe
        self._tasks: queue.SimpleQueue[list[_Task] | None] = queue.SimpleQueue()
        self._gathered: list[_Task] = []
        self._ready: deque[_Task] = deque()
        self._waiting = 0
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def append(self, events: Sequence[Event]) -> asyncio.Future[list[bool]]:
        """Store events from within an event loop; which were new, once all are durable."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[bool]] = loop.create_future()
        self._submit(_Task(events, future, loop, len(events)))
        return future

    def call(self, work: Callable[[Book], Any]) -> Future[Any]:
        """Have something done between two transactions; its result or its error."""
        future: Future[Any] = Future()
        self._submit(_Task(work, future))
        return future

    def append_and_wait(self, events: Sequence[Event]) -> list[bool]:
        """As `append`, outside of an event loop."""
        future: Future[list[bool]] = Future()
        self._submit(_Task(events, future, None, len(events)))
        return future.result()

    @property
    def waiting(self) -> int:
        """Events that are not yet answered."""
        return self._waiting

    def prove(self) -> Future[None]:
        """Commit something small, where events could be stored too."""
        return self.call(self._prove)

    def set_aside(self, ledger: str, reason: str) -> None:
        """Go on with a new ledger, if that is still the live one."""

        def leave(book: Book) -> None:
            if book.ledger == ledger and self._damage is None:
                self._damage = reason
                self._prove(book)

        self.call(leave)

    def close(self) -> None:
        """Finish what was submitted, flush the head, move the log into the database."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._tasks.put(self._gathered)
            self._gathered = []
            self._tasks.put(None)
        self._thread.join()

    def _submit(self, task: _Task) -> None:
        with self._lock:
            if self._closed or (task.size and self._waiting >= MAX_WAITING):
                why = "the collector is ending" if self._closed else "too many events are waiting"
                raise StorageUnavailable(why, "try again shortly")
            self._waiting += task.size
            if task.loop is None:
                self._tasks.put([task])
                return
            # What comes in one turn of the event loop wakes the thread once.
            self._gathered.append(task)
            if len(self._gathered) == 1:
                task.loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        with self._lock:
            self._tasks.put(self._gathered)
            self._gathered = []

    def _run(self) -> None:
        try:
            while (group := self._next_group()) is not None:
                appends = [task for task in group if not callable(task.work)]
                if appends:
                    self._append(appends)
                for task in group:
                    if callable(task.work):
                        self._call(task, task.work)
                if (self.book.head_age or 0) >= HEAD_SECONDS:
                    self._flush_head()
                self._tidy()
            self._flush_head()
            self._tidy(now=True)
            self.book.close()
        except (OSError, DiskFailed) as error:
            die(str(error))
        except BaseException as error:
            _log.exception("the writer stopped")
            die(repr(error))

    def _next_group(self) -> list[_Task] | None:
        """What waits, as far as it fits one transaction; None at the end."""
        group: list[_Task] = []
        size = 0
        age = self.book.head_age
        wait = _IDLE_SECONDS if age is None else max(HEAD_SECONDS - age, 0)
        with suppress(queue.Empty):
            while size < MAX_GROUP:
                if not self._ready:
                    tasks = self._tasks.get(timeout=0 if group else wait)
                    if tasks is None:
                        if not group:
                            return None
                        self._tasks.put(None)
                        break
                    self._ready.extend(tasks)
                    continue
                group.append(self._ready.popleft())
                size += group[-1].size
        return group

    def _append(self, tasks: list[_Task]) -> None:
        started = time.perf_counter()
        try:
            self._space.check()
            requests: list[Any] = [task.work for task in tasks]
            answers = self._on_live(lambda book: book.append(requests, self._now()))
        except DiskFailed as error:
            die(str(error))
        except StorageUnavailable as error:
            self._refused(error)
            self._settle([(task, None, error) for task in tasks])
            return
        self.committed_at = time.monotonic()
        self._observe(time.perf_counter() - started, sum(map(len, answers)))
        self._settle([(t, answer, None) for t, answer in zip(tasks, answers, strict=True)])

    def _on_live(self, action: Callable[[Book], _T]) -> _T:
        """Do it on the live ledger, on a new one when that turns out to be damaged."""
        if self._damage is None:
            try:
                return action(self.book)
            except Damaged as error:
                self._damage = str(error)
        self.book = self._replace(self.book, self._damage)
        self._damage = None
        return action(self.book)

    def _refused(self, error: StorageUnavailable) -> None:
        if not isinstance(error, Busy):
            self._space.ran_out(error)

    def _call(self, task: _Task, work: Callable[[Book], Any]) -> None:
        try:
            result = work(self.book)
        except DiskFailed as error:
            die(str(error))
        except Exception as error:
            self._settle([(task, None, error)])
        else:
            self._settle([(task, result, None)])

    def _prove(self, _: Book) -> None:
        self._space.check()
        try:
            self._on_live(lambda book: book.prove(self._now()))
        except DiskFailed:
            raise
        except StorageUnavailable as error:
            self._refused(error)
            raise
        self.committed_at = time.monotonic()

    def _flush_head(self) -> None:
        try:
            self.book.flush_head()
        except StorageUnavailable as error:
            self._space.ran_out(error)

    def _tidy(self, *, now: bool = False) -> None:
        """What a commit leaves to be done: a step of it, or all ``now``."""
        if self._damage is not None:
            return
        try:
            idle = self._waiting <= BUSY_EVENTS and not self._space.full
            if now or (idle and time.monotonic() - self._tidied_at >= TIDY_SECONDS):
                self.book.file_ids(all_=now)
                self.book.seal(self._now(), SEAL_SECONDS)
                self._tidied_at = time.monotonic()
            self.book.checkpoint(now=now)
        except DiskFailed:
            raise
        except StorageUnavailable as error:
            self._refused(error)
        except Damaged as error:
            # Whoever stores next gets to a new ledger.
            self._damage = str(error)
            self.committed_at = float("-inf")

    def _settle(self, outcomes: list[tuple[_Task, Any, Exception | None]]) -> None:
        with self._lock:
            self._waiting -= sum(task.size for task, _, _ in outcomes)
        loops: dict[asyncio.AbstractEventLoop | None, list[tuple[Any, Any, Any]]] = {}
        for task, result, error in outcomes:
            loops.setdefault(task.loop, []).append((task.future, result, error))
        for loop, settled in loops.items():
            if loop is None:
                _resolve(settled)
            elif not loop.is_closed():
                loop.call_soon_threadsafe(_resolve, settled)


def _resolve(settled: list[tuple[Any, Any, Exception | None]]) -> None:
    for future, result, error in settled:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
