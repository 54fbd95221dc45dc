"""How many bytes of request bodies are held at once, whatever the number of clients."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Self

from usage_collector.errors import StorageUnavailable

if TYPE_CHECKING:
    from types import TracebackType

ROOM_BYTES = 24 * 1024 * 1024
"""Of large bodies, in the hands of the whole listener."""
FREE_BYTES = 64 * 1024
"""A body up to this size never waits: one that is slow must not hold up those of others."""
WAIT_SECONDS = 3.0
"""How long a request waits for room, as long as transcribers do for an answer."""


class Room:
    """Hands out bytes in the order in which they were asked for; used by one event loop."""

    def __init__(self, size: int = ROOM_BYTES) -> None:
        self._free = size
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    def lease(self) -> Lease:
        """What one request holds, given back at its end."""
        return Lease(self)

    async def take(self, size: int) -> None:
        """Return when that many bytes may be held.

        Raises:
            StorageUnavailable: others held too many for too long.
        """
        if not self._queue and size <= self._free:
            self._free -= size
            return
        entry = (size, asyncio.get_running_loop().create_future())
        self._queue.append(entry)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await entry[1]
        except BaseException as error:
            self._leave(entry)
            if isinstance(error, TimeoutError):
                raise StorageUnavailable(
                    "too many large requests are under way", "send it again"
                ) from None
            raise

    def give(self, size: int) -> None:
        """Give bytes back, to whoever waits."""
        self._free += size
        while self._queue and self._queue[0][0] <= self._free:
            wanted, future = self._queue.popleft()
            self._free -= wanted
            if future.done():
                self._free += wanted
            else:
                future.set_result(None)

    def _leave(self, entry: tuple[int, asyncio.Future[None]]) -> None:
        if entry in self._queue:
            self._queue.remove(entry)
            self.give(0)
        elif not entry[1].cancelled():
            self.give(entry[0])


class Lease:
    """The bytes that one request holds."""

    __slots__ = ("_held", "_room")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._held = 0

    async def grow(self, size: int) -> None:
        """Hold at least that many bytes; see `Room.take`."""
        if size > self._held:
            await self._room.take(size - self._held)
            self._held = size

    def shrink(self, size: int) -> None:
        """Hold at most that many bytes."""
        if size < self._held:
            self._room.give(self._held - size)
            self._held = size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shrink(0)
