"""How many requests a second one client of the reporting listener may send; ingest has no limit."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

from usage_collector.errors import TooMany

if TYPE_CHECKING:
    from collections.abc import Callable

_READING = frozenset({"GET", "HEAD"})
_REMEMBERED = 10_000


class Rates:
    """Counts by token, or by address where there are no tokens; a rate of 0 is no limit.

    Each client may send as many at once as it may in a second, and then goes on at its rate
    (https://en.wikipedia.org/wiki/Token_bucket).
    """

    def __init__(
        self, gets: float, posts: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rates = {True: gets, False: posts}
        self._clock = clock
        self._left: dict[tuple[bytes, bool], tuple[float, float]] = {}

    def use(self, gets: float, posts: float) -> None:
        """From now on these rates hold."""
        self._rates = {True: gets, False: posts}

    def check(self, method: str, authorization: str | None, client: str | None) -> None:
        """Return when the request may go on.

        Raises:
            TooMany: not yet.
        """
        reading = method in _READING
        rate = self._rates[reading]
        if not rate:
            return
        # The token itself is not kept in memory.
        who = hashlib.sha256((authorization or client or "").encode(errors="replace")).digest()
        now, most = self._clock(), max(rate, 1.0)
        left, at = self._left.pop((who, reading), (most, now))
        left = min(most, left + (now - at) * rate)
        # The one longest unused comes first, and is the first to be forgotten.
        self._left[who, reading] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > _REMEMBERED:
            del self._left[next(iter(self._left))]
        if left < 1:
            kind = "reading" if reading else "changing"
            raise TooMany(
                f"more than {rate:g} {kind} requests a second",
                "send fewer, or wait as Retry-After says",
                (1 - left) / rate,
            )
