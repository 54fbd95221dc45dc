"""Client connections: how old each is, how much it was used, and how many there may be."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from usage_collector.web import errors

if TYPE_CHECKING:
    from collections.abc import Iterable

_log = logging.getLogger("usage_collector.web")

MAX_CONNECTIONS = 2048
"""Of one listener. With TLS each takes some 50 kB, also while nothing comes over it."""
_SHARE = 32
_TELL_SECONDS = 60.0


class Connection(web.RequestHandler):
    """One client connection, which knows its age and how much and when it was used."""

    __slots__ = ("born", "served", "used")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.born = self.used = time.monotonic()
        self.served = 0

    @property
    def idle(self) -> bool:
        """Whether it is open and waits for a request, or for the rest of its headers."""
        return self.transport is not None and self._current_request is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take its place among the others."""
        super().connection_made(transport)
        if isinstance(self._manager, Server):
            self._manager.make_room()

    def give_up(self) -> None:
        """Close it; who never asked for anything is not waited for either."""
        if self.transport is not None and not self.served:
            self.transport.abort()
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is not even a request gets the same kind of body as everything else."""
        if status >= 500:
            _log.error("a request failed", exc_info=exc)
        # The parser's messages go on with the offending bytes and an arrow below them.
        why = (message or "the request cannot be read").strip().splitlines()[0].rstrip(":")
        response = errors.body(status, why)
        response.force_close()
        return response


class Server(web.Server):
    """Makes the connections of one listener, and keeps them few."""

    def __init__(self, handler: Any, **kwargs: Any) -> None:
        super().__init__(handler, **kwargs)
        self._options = kwargs
        self._told = float("-inf")

    def __call__(self) -> Connection:
        """One that is being made."""
        return Connection(self, loop=asyncio.get_running_loop(), **self._options)

    def make_room(self) -> None:
        """Where there are too many, close some of those that have been idle for longest."""
        if len(self._connections) <= MAX_CONNECTIONS:
            return
        for connection in longest_idle(self._connections, MAX_CONNECTIONS):
            connection.give_up()
        if time.monotonic() - self._told >= _TELL_SECONDS:
            self._told = time.monotonic()
            _log.warning(
                "more than %d connections: those that are idle for longest are closed",
                MAX_CONNECTIONS,
            )


def longest_idle(connections: Iterable[Any], most: int) -> list[Connection]:
    """Which of them to close, so that ``most`` of those that are open are left, or some fewer."""
    there = [one for one in connections if one.transport is not None]
    if len(there) <= most:
        return []
    idle = sorted((one for one in there if one.idle), key=lambda one: one.used)
    return idle[: len(there) - most + most // _SHARE]
