"""Taking a ledger back from a backup."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from usage_collector import backup
from usage_collector.errors import Conflict, InvalidInput
from usage_collector.web import queries
from usage_collector.web.routing import Route
from usage_collector.web.tokens import Access

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from usage_collector.ledger import Ledgers, Restored

STALLED_SECONDS = 120.0
"""How long a client may send nothing of a body before it is given up."""


class _Body:
    """A request's body, read from a thread while the event loop goes on."""

    def __init__(self, request: web.BaseRequest, loop: asyncio.AbstractEventLoop) -> None:
        self._request = request
        self._loop = loop

    def read(self, size: int, /) -> bytes:
        return asyncio.run_coroutine_threadsafe(self._next(size), self._loop).result()

    async def _next(self, size: int) -> bytes:
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                return await self._request.content.read(size)
        except TimeoutError:
            raise InvalidInput("the body stopped coming", "send it again") from None


@dataclass(frozen=True, slots=True)
class Restoring:
    """The handler, and what it needs; one ledger comes back at a time."""

    ledgers: Ledgers
    now: Callable[[], int]
    busy: threading.Lock = field(default_factory=threading.Lock)

    async def put_ledger(self, request: web.BaseRequest, path: Mapping[str, str]) -> web.Response:
        """A ledger's packages, as one tar stream."""
        queries.only(request)
        body = _Body(request, asyncio.get_running_loop())
        done = await asyncio.to_thread(self._receive, path["id"], body)
        status = 200 if done.state == "present" else 201
        answer = msgspec.json.encode(done)
        return web.Response(status=status, body=answer, content_type="application/json")

    def _receive(self, ledger: str, body: _Body) -> Restored:
        # Held by the thread that works: a client that leaves does not end it at once.
        if not self.busy.acquire(blocking=False):
            raise Conflict("another ledger is being restored", "wait until that is done")
        try:
            return backup.receive(self.ledgers, ledger, body, self.now())
        finally:
            self.busy.release()

    def routes(self) -> list[Route]:
        """Everything as a table."""
        return [
            Route(
                "PUT", "/v1/ledgers/{id}", self.put_ledger, Access.ADMIN,
                "Bring a ledger back from its packages, closed, beside the live one",
                {200: "It is here already.", 201: "What came back, and what is lost."},
                body="a tar archive: ledger.json, then the packages",
                errors=(400, 401, 403, 409, 503),
            )
        ]  # fmt: skip
