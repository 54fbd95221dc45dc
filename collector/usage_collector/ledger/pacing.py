"""Long reading beside the writer: a share of the processor while events come in, else all of it."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_T = TypeVar("_T")

SHARE = 0.15
"""Of what the process gets of the processor, for all long readers together while events come in."""
BUSY_SECONDS = 0.1
"""How long after a commit events are still taken to be coming in."""
LONGEST = 3
"""How many times as long as its share of a whole processor demands a reader rests at most."""
REST_SECONDS = 1.0
"""Of the processor's time that the others get at most for one turn: more readers are waiting."""
_SLICE_SECONDS = 0.002
"""Of the processor's time, between two rests."""
_EVERY = 32
"""Items between two looks at the clock."""


class Pace:
    """Makes readers rest between short turns for as long as ``busy`` says so.

    A turn counts by the processor's time that it took, and is rested from until the rest of the
    process had its part: where that gets little of the processor, readers get little of little.
    Only one rests at a time, so that several have no larger share than one. Where nobody is
    ``behind`` at the end of a rest, the others had what they wanted: a few events a second must
    not make a month's export wait for hours.
    """

    def __init__(
        self,
        busy: Callable[[], bool],
        behind: Callable[[], bool] | None = None,
        *,
        worked: Callable[[], float] = time.thread_time,
        process: Callable[[], float] = time.process_time,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._busy = busy
        self._behind = behind or busy
        self._worked = worked
        self._process = process
        self._sleep = sleep or threading.Event().wait
        self._turn = threading.local()
        self._resting = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Some work of this thread, and the rest that it calls for."""
        self._turn.began = self._worked()
        try:
            yield
        finally:
            self._rest(0)

    def paced(self, items: Iterable[_T]) -> Iterator[_T]:
        """The items, with rests between them: for work that is one long turn of one thread."""
        self._turn.began = self._worked()
        for number, item in enumerate(items, 1):
            yield item
            if number % _EVERY == 0:
                self._rest(_SLICE_SECONDS)

    def _rest(self, least: float) -> None:
        """Rest, if at least that much was worked in this turn; the next one begins thereafter."""
        worked = self._worked() - self._turn.began
        if worked < least:
            return
        if self._busy():
            with self._resting:
                self._wait(min(worked * (1 / SHARE - 1), REST_SECONDS))
        self._turn.began = self._worked()

    def _wait(self, others: float) -> None:
        """Leave so many seconds of the processor to the others, if they want them."""
        until = self._process() + others
        for _ in range(LONGEST):
            self._sleep(others)
            if not self._behind() or self._process() >= until:
                return
