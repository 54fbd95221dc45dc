"""What the operator says of itself: /healthz, /readyz and /metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable


async def _healthz(_: web.Request) -> web.Response:
    """Answer: that it can shows that the event loop turns."""
    return web.Response(text="ok\n")


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def serve(host: str | None, port: int, ready: Callable[[], bool]) -> web.AppRunner:
    """Start to listen; ``ready`` tells whether the operator watches. Clean up the result."""

    async def readyz(_: web.Request) -> web.Response:
        if ready():
            return web.Response(text="ok\n")
        return web.Response(status=503, text="does not watch yet\n")

    app = web.Application()
    app.add_routes(
        [web.get("/healthz", _healthz), web.get("/readyz", readyz), web.get("/metrics", _metrics)]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
