"""Whether events are taken: an operator closes the gate of a collector that is to be removed."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from usage_collector.errors import StorageUnavailable
from usage_collector.web import queries
from usage_collector.web.routing import Route
from usage_collector.web.tokens import Access

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Gate:
    """Open until it is closed; a restart opens it again."""

    def __init__(self) -> None:
        self.closed = False
        self._inside = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Pass the gate for as long as a request takes.

        Raises:
            StorageUnavailable: it is closed.
        """
        if self.closed:
            raise StorageUnavailable(
                "this collector is being emptied and takes no more events",
                "connect again: the Service leads to another one",
            )
        self._inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    async def close(self) -> None:
        """Let nobody in; returns once all who were inside have left."""
        self.closed = True
        await self._empty.wait()

    def routes(self) -> list[Route]:
        """``POST /v1/ingest/stop`` and ``POST /v1/ingest/start``."""

        async def stop(request: web.BaseRequest, _: Mapping[str, str]) -> web.Response:
            queries.only(request)
            await self.close()
            return self._answer()

        async def start(request: web.BaseRequest, _: Mapping[str, str]) -> web.Response:
            queries.only(request)
            self.closed = False
            return self._answer()

        return [
            Route(
                "POST", "/v1/ingest/stop", stop, Access.ADMIN,
                "Take no more events, until told otherwise or restarted",
                {200: "From now on no event is acknowledged."}, errors=(400, 401, 403),
            ),
            Route(
                "POST", "/v1/ingest/start", start, Access.ADMIN,
                "Take events again", {200: "They are taken."}, errors=(400, 401, 403),
            ),
        ]  # fmt: skip

    def _answer(self) -> web.Response:
        body = msgspec.json.encode({"accepting": not self.closed})
        return web.Response(body=body, content_type="application/json")
