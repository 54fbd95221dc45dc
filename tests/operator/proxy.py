"""A proxy in front of the API server that cuts the connection at one call, or answers for it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Self

import aiohttp
from aiohttp import web

from usage_operator.kube import Access

if TYPE_CHECKING:
    from types import TracebackType

WRITES = {"POST", "PUT", "PATCH", "DELETE"}


class Proxy:
    """Passes calls on, one after the other, and counts them.

    ``cut``: at which call that writes it cuts, counted from 1, once the API server has done what
    was asked; it takes no call from then on. ``storm``: how many calls it answers with 429 and 503
    in turn, before it passes one on. ``expire``: how many watches it ends with 410 at once.
    ``refuse``: calls with one of these parameters get 429 (``watch``; ``limit``: lists in pages).
    ``away``: it takes no call at all, and ends the watches.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self.cut = 0
        self.storm = 0
        self.expire = 0
        self.refuse: set[str] = set()
        self.away = False
        self.watches: set[asyncio.Transport] = set()
        self.wrote = 0
        self.was_cut = False
        self._one = asyncio.Lock()

    def begin(self, cut: int = 0) -> None:
        """Count anew."""
        self.cut, self.wrote, self.was_cut = cut, 0, False

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._access.context() or False)
        self._session = aiohttp.ClientSession(connector=connector)
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port: int = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()
        await self._runner.cleanup()
        await self._session.close()

    @property
    def access(self) -> Access:
        """How to reach the API server through this."""
        return Access(f"http://127.0.0.1:{self.port}", self._access.namespace)

    def leave(self) -> None:
        """Take no call any more, and end all watches."""
        self.away = True
        self.end_watches()

    def end_watches(self) -> None:
        """Cut every watch there is."""
        for one in self.watches:
            one.abort()

    def _gone(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response(status=499)

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        if self.refuse & set(request.query):
            return web.json_response({"message": "too many"}, status=429)
        if request.query.get("watch"):
            return await self._watch(request)
        body = await request.read()
        async with self._one:
            if self.away or self.was_cut:
                return self._gone(request)
            if self.storm:
                self.storm -= 1
                status = 429 if self.storm % 2 else 503
                return web.json_response({"message": "busy"}, status=status)
            answer = await self._forward(request, body)
            self.wrote += request.method in WRITES
            self.was_cut = 0 < self.cut <= self.wrote
            return self._gone(request) if self.was_cut else answer

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        assert isinstance(request.transport, asyncio.Transport)
        if self.away:
            return self._gone(request)
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        if self.expire:
            self.expire -= 1
            await answer.prepare(request)
            status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            await answer.write(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
            return answer
        self.watches.add(request.transport)
        try:
            url, forever = self._access.server + request.path_qs, aiohttp.ClientTimeout()
            headers = self._headers(request)
            async with self._session.get(url, headers=headers, timeout=forever) as upstream:
                answer.set_status(upstream.status)
                await answer.prepare(request)
                async for chunk in upstream.content.iter_any():
                    if request.transport.is_closing():
                        break
                    await answer.write(chunk)
        finally:
            self.watches.discard(request.transport)
        return answer

    def _headers(self, request: web.Request) -> dict[str, str]:
        kept = {"content-type", "accept"}
        headers = {name: text for name, text in request.headers.items() if name.lower() in kept}
        token = self._access.bearer()
        return headers | ({"Authorization": f"Bearer {token}"} if token else {})

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        headers = self._headers(request)
        url = self._access.server + request.path_qs
        async with self._session.request(
            request.method, url, data=body or None, headers=headers
        ) as response:
            return web.Response(
                status=response.status,
                body=await response.read(),
                content_type=response.content_type,
            )
