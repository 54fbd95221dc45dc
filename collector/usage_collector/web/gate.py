"""Whether events are taken: an operator closes the gate of a collector that is to be removed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from usage_collector.errors import StorageUnavailable
from usage_collector.web import queries
from usage_collector.web.routing import Route
from usage_collector.web.tokens import Access

if TYPE_CHECKING:
    from collections.abc import Mapping


class Gate:
    """Open until it is closed; a restart opens it again."""

    def __init__(self) -> None:
        self.closed = False
        self._inside = 0
        self._left: asyncio.Future[None] | None = None

    def __enter__(self) -> None:
        """Pass the gate, until the request is answered.

        Raises:
            StorageUnavailable: it is closed.
        """
        if self.closed:
            raise StorageUnavailable(
                "this collector is being emptied and takes no more events",
                "connect again: the Service leads to another one",
            )
        self._inside += 1

    def __exit__(self, *_: object) -> None:
        self._inside -= 1
        if not self._inside and self._left is not None:
            self._left.set_result(None)
            self._left = None

    async def close(self) -> None:
        """Let nobody in; returns once all who were inside have left."""
        self.closed = True
        if self._inside:
            self._left = self._left or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._left)

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
