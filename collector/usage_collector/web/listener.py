"""A port: connections, their limits, and every request's way to its route and its answer."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from usage_collector.errors import Conflict
from usage_collector.web import errors
from usage_collector.web.connections import FEW, Server
from usage_collector.web.created import CREATED, suits
from usage_collector.web.logs import BODY_BYTES, STARTED, AccessLogger
from usage_collector.web.routing import NoSuchMethod

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from usage_collector.web.rates import Rates
    from usage_collector.web.routing import Router
    from usage_collector.web.tokens import Guard

_log = logging.getLogger("usage_collector.web")
_BACKLOG = 1024
_IDLE_SECONDS = 60.0
LINGER_SECONDS = 3.0
"""How long the rest of a refused body is read, so that the client gets to the answer."""
FINISH_SECONDS = 8.0
"""How long requests under way may take once the listener stops."""


class Listener:
    """Serves a router on one port.

    After ``requests`` answers or ``seconds`` of age a connection is closed with the answer, so
    that a balancer in front can spread it again; 0: never. Of the connections that there may be it
    has that ``part``.
    """

    def __init__(
        self,
        name: str,
        router: Router,
        guard: Guard | None,
        count: Callable[[str, int], None],
        *,
        requests: int = 0,
        seconds: float = 0,
        rates: Rates | None = None,
        part: float = FEW,
    ) -> None:
        self.name = name
        self.draining = False
        self._router = router
        self._guard = guard
        self._count = count
        self._requests = requests
        self._seconds = seconds
        self._rates = rates
        self._part = part
        self._server: Server | None = None
        self._runner: web.ServerRunner | None = None

    async def start(self, host: str | None, port: int, tls: ssl.SSLContext | None) -> int:
        """Listen; the port, which was chosen by the system when 0 was asked for.

        Raises:
            Conflict: the address cannot be had.
        """
        bound = _bind(host, port)
        asyncio.get_running_loop().set_task_factory(_task)
        self._server = Server(
            self._handle,
            self._part,
            access_log_class=AccessLogger,
            access_log=_log,
            keepalive_timeout=min(self._seconds or _IDLE_SECONDS, _IDLE_SECONDS),
            auto_decompress=False,
            lingering_time=LINGER_SECONDS,
        )
        # aiohttp waits that long once for the request and once more for its handler.
        self._runner = web.ServerRunner(self._server, shutdown_timeout=FINISH_SECONDS / 2)
        await self._runner.setup()
        self.use(tls)
        chosen: int = bound.getsockname()[1]
        await web.SockSite(self._runner, bound, backlog=_BACKLOG).start()
        _log.info("%s listens on port %d%s", self.name, chosen, " with TLS" if tls else "")
        return chosen

    def use(self, tls: ssl.SSLContext | None) -> None:
        """Take new connections with that context; those there are go on as they are."""
        assert self._server is not None  # noqa: S101
        self._server.tls = tls

    async def stop(self) -> None:
        """Take no more connections, finish what is under way, close the rest."""
        if self._runner is not None and self._server is not None:
            await self._server.dismiss(LINGER_SECONDS)
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        request[STARTED] = time.perf_counter()
        try:
            response = await self._route(request)
        except NoSuchMethod as error:
            response = errors.body(405, str(error))
            response.headers["Allow"] = ", ".join(error.allowed)
        except Exception as error:
            response = errors.answer(error)
        self._count(self.name, response.status)
        over = self._is_over(request.protocol)
        if response is CREATED:
            if not over and suits(request):
                return response
            response = web.Response(status=201)
        if isinstance(response, web.Response):
            response[BODY_BYTES] = len(response.body) if isinstance(response.body, bytes) else 0
        if over and not response.prepared:
            response.force_close()
        return response

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        route, variables = self._router.find(request.method, request.rel_url.path)
        if self._guard is not None:
            self._guard.check(route.access, request.headers.get("Authorization"), request.remote)
        if self._rates is not None and route.limited:
            self._rates.check(request.method, request.headers.get("Authorization"), request.remote)
        return await route.handle(request, variables)

    def _is_over(self, connection: Any) -> bool:
        connection.served += 1
        connection.used = now = time.monotonic()
        return (
            self.draining
            or 0 < self._requests <= connection.served
            or 0 < self._seconds <= now - connection.born
        )


_HANDLING = web.RequestHandler._handle_request.__code__


def _task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
    """A task, but none of its own for each request: that of its connection awaits it as it is.

    From Python 3.12 on aiohttp starts such tasks at once, which costs as little, and asks nobody.
    """
    if getattr(coroutine, "cr_code", None) is _HANDLING:
        return coroutine
    return asyncio.Task(coroutine, loop=loop, **options)


def _bind(host: str | None, port: int) -> socket.socket:
    try:
        if host is None and socket.has_dualstack_ipv6():
            return socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG
            )
        family = socket.AF_INET6 if host and ":" in host else socket.AF_INET
        return socket.create_server((host or "", port), family=family, backlog=_BACKLOG)
    except OSError as error:
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had: {error.strerror}"
        raise Conflict(
            f"port {port} on {host or 'all addresses'} {why}",
            "stop what holds it, or set EATS_PORT, PANDAS_PORT or USAGE_HOST",
        ) from None
