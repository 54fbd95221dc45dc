"""The ingest listener: events in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from usage_collector import ingest
from usage_collector.web import bodies
from usage_collector.web.room import Room
from usage_collector.web.routing import Route
from usage_collector.web.tokens import Access

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from usage_collector.events import Outcome
    from usage_collector.ledger import Ledgers
    from usage_collector.web.gate import Gate


def routes(
    ledgers: Ledgers, count: Callable[[Outcome, bool, int], None], gate: Gate
) -> list[Route]:
    """``POST /v1/log``."""
    room = Room()

    async def post_log(request: web.BaseRequest, _: Mapping[str, str]) -> web.Response:
        with room.lease() as lease:
            body = await bodies.read(request, lease)
            with gate.entered():
                await ingest.accept(ledgers, body, count)
        return web.Response(status=201)

    return [
        Route(
            "POST",
            "/v1/log",
            post_log,
            Access.OPEN,
            "Take one event, or an array of at most 1,000; all of them or none",
            {201: "The events are durable; one that was there already is not stored again."},
            body="A JSON object or an array of them, at most 8 MiB; gzip and zstd are understood.",
            schema={"oneOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]},
            errors=(400, 408, 413, 415, 503),
        )
    ]
