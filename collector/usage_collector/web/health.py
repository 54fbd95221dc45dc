"""Is the process alive, and can it commit now?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from usage_collector.errors import StorageUnavailable
from usage_collector.web.routing import Route
from usage_collector.web.tokens import Access

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from usage_collector.ledger import Ledgers

RECENT_SECONDS = 2.0
"""A commit this young proves that the next one works."""


def routes(ledgers: Ledgers, draining: Callable[[], bool]) -> list[Route]:
    """``/healthz`` and ``/readyz``."""

    async def alive(_: web.BaseRequest, __: Mapping[str, str]) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_: web.BaseRequest, __: Mapping[str, str]) -> web.Response:
        if draining():
            raise StorageUnavailable("the collector is ending", "use another one")
        await ledgers.prove(RECENT_SECONDS)
        return web.Response(text="ready\n")

    return [
        Route(
            "GET", "/healthz", alive, Access.OPEN, "Whether the process is alive",
            {200: "It is."}, content="text/plain",
        ),
        Route(
            "GET", "/readyz", ready, Access.OPEN, "Whether events can be made durable now",
            {200: "They can."}, content="text/plain", errors=(503,),
        ),
    ]  # fmt: skip
