"""Client connections: how old each is, how much it was used, and how many there may be."""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web
from uvloop.loop import SSLProtocol  # type: ignore[attr-defined]

from usage_collector.errors import StorageUnavailable
from usage_collector.web import errors

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Collection

_log = logging.getLogger("usage_collector.web")

MAX_CONNECTIONS = 2048
"""Of the ingest listener. With TLS each takes some 50 kB, also while nothing comes over it."""
FEW = 0.25
"""The part of that which the other listeners have: far fewer clients come to them."""
_LISTENERS = 1 + 2 * FEW
KEPT_FILES = 256
"""Open files that connections leave for ledgers, readers and other collectors."""
HANDSHAKE_SECONDS = 20.0
"""How long a client may take for its TLS handshake."""
_SHARE = 32
_TELL_SECONDS = 60.0


class Connection(web.RequestHandler):
    """One client connection, which knows its age and how much and when it was used.

    It is one of those that are ``open`` from the moment it is accepted, before any TLS, until its
    ``wire``, the transport below, is gone: its files and memory are taken that long.
    """

    __slots__ = ("_patience", "_server", "born", "open", "served", "used", "wire")

    def __init__(self, server: Server, **kwargs: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **kwargs)
        self.born = self.used = time.monotonic()
        self.served = 0
        self.open = server.open
        self.wire: Any = None
        self._server = server
        self._patience: asyncio.Timeout | None = None

    @property
    def idle(self) -> bool:
        """Whether no request of it is under way: it may shake hands, wait, or be closing."""
        return self._current_request is None

    @asynccontextmanager
    async def waiting(self, seconds: float) -> AsyncIterator[None]:
        """Wait that long for the rest of a request's body, but not once the listener stops.

        Raises:
            TimeoutError: it did not come in time.
            StorageUnavailable: the listener stops.
        """
        try:
            async with asyncio.timeout(0 if self._server.stopping else seconds) as self._patience:
                yield
        except TimeoutError:
            if self._server.stopping:
                raise StorageUnavailable(
                    "the collector ends, and the body is not all there", "send it again"
                ) from None
            raise
        finally:
            self._patience = None

    def hurry(self) -> asyncio.Task[None] | None:
        """Wait no longer for a body; the task that answers, if there is one to answer."""
        if self._patience is None:
            return None
        if not self._patience.expired():
            self._patience.reschedule(0)
        return self._task_handler

    def arrived(self, wire: asyncio.BaseTransport) -> None:
        """Take its place among the others."""
        self.wire = wire
        self.open.add(self)

    def left(self) -> None:
        """Leave that place."""
        self.open.discard(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with HTTP."""
        if self.wire is None:
            self.arrived(transport)
        if not self.wire.is_closing():  # nobody else was idle: it had to go itself
            super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Nothing will come any more."""
        self.left()
        super().connection_lost(exc)

    def give_up(self) -> None:
        """Close it at once: a client may take its time even for a TLS connection's end."""
        self.left()
        self.wire.abort()

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


class Secured(SSLProtocol):  # type: ignore[misc]
    """A connection's TLS, just as uvloop makes it, that tells when it is accepted and gone.

    asyncio says nothing of a connection before its handshake is done.
    """

    def __init__(self, connection: Connection, tls: ssl.SSLContext) -> None:
        super().__init__(
            asyncio.get_running_loop(),
            connection,
            tls,
            None,
            server_side=True,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
        )
        self._connection = connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with the handshake."""
        self._connection.arrived(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """It may never have come to HTTP."""
        self._connection.left()
        super().connection_lost(exc)


class Server(web.Server):
    """Makes the connections of one listener, ``part`` of `MAX_CONNECTIONS`, and keeps them few.

    With ``tls``, where it is set; another one is for the connections that come after.
    """

    def __init__(self, handler: Any, part: float, **kwargs: Any) -> None:
        super().__init__(handler, **kwargs)
        self.open = Open(most(part, resource.getrlimit(resource.RLIMIT_NOFILE)[0]))
        self.tls: ssl.SSLContext | None = None
        self.stopping = False
        self._options = kwargs

    def __call__(self) -> Any:
        """One that is being made."""
        connection = Connection(self, **self._options)
        return connection if self.tls is None else Secured(connection, self.tls)

    async def dismiss(self, seconds: float) -> None:
        """Answer requests whose bodies are not all there, and let their clients get to it.

        aiohttp takes no more data once it shuts down, so nobody would hear of them any more.
        """
        self.stopping = True
        late = [task for one in self.open if (task := one.hurry()) is not None]
        if late:
            await asyncio.wait(late, timeout=seconds)


class Open(set[Connection]):
    """The connections there are, at most so many: more make those go that are idle for longest."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._told = float("-inf")

    def add(self, connection: Connection) -> None:
        """One more; where there are too many, some are closed."""
        super().add(connection)
        if len(self) <= self._most:
            return
        for one in longest_idle(self, self._most):
            one.give_up()
        if time.monotonic() - self._told >= _TELL_SECONDS:
            self._told = time.monotonic()
            _log.warning(
                "more than %d connections: those that are idle for longest are closed", self._most
            )


def most(part: float, files: int) -> int:
    """How many connections a listener may have that has that part, of all, with so many files."""
    if files != resource.RLIM_INFINITY:
        part *= min(1.0, (files - KEPT_FILES) / (_LISTENERS * MAX_CONNECTIONS))
    return max(1, int(part * MAX_CONNECTIONS))


def longest_idle(connections: Collection[Any], most: int) -> list[Connection]:
    """Which of them to close, so that ``most`` are left, or some fewer."""
    if len(connections) <= most:
        return []
    idle = sorted((one for one in connections if one.idle), key=lambda one: one.used)
    return idle[: len(connections) - most + most // _SHARE]
