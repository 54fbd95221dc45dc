"""The ingest listener: events in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usage_collector import ingest
from usage_collector.events import cloud
from usage_collector.web import bodies, cloud_events
from usage_collector.web.created import CREATED
from usage_collector.web.room import Room
from usage_collector.web.routing import Route
from usage_collector.web.tokens import Access

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import web

    from usage_collector.events import Outcome
    from usage_collector.ledger import Ledgers
    from usage_collector.web.gate import Gate

_NAME = {"type": "string", "minLength": 1}
_CLOUD_EVENT = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": cloud.VERSION},
        "id": _NAME,
        "source": _NAME,
        "type": _NAME,
        "data_base64": {
            "type": "string",
            "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
        },
        "event_specific_data": False,
    },
    "not": {"required": ["data", "data_base64"]},
}


def routes(
    ledgers: Ledgers, count: Callable[[Outcome, bool, int], None], gate: Gate
) -> list[Route]:
    """``POST /v1/log`` and ``POST /v1/events``."""
    room = Room()

    async def post_log(request: web.BaseRequest, _: Mapping[str, str]) -> web.Response:
        with room.lease() as lease:
            body = await bodies.read(request, lease)
            with gate:
                await ingest.accept(ledgers, body, count)
        return CREATED

    async def post_events(request: web.BaseRequest, _: Mapping[str, str]) -> web.Response:
        parse = cloud_events.reader(request.headers)
        with room.lease() as lease:
            body = await bodies.read(request, lease)
            with gate:
                await ingest.accept(ledgers, body, count, parse)
        return CREATED

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
        ),
        Route(
            "POST",
            "/v1/events",
            post_events,
            Access.OPEN,
            "Take CloudEvents 1.0: one, structured or binary, or a batch; all of them or none",
            {201: "The events are durable; the same source, id and time are not stored again."},
            body="At most 8 MiB and 1,000 events; gzip and zstd are understood. In binary mode the"
            " attributes are ce- headers, and the body is the data.",
            media={
                cloud_events.STRUCTURED: _CLOUD_EVENT,
                cloud_events.BATCH: {"type": "array", "items": _CLOUD_EVENT},
            },
            errors=(400, 408, 413, 415, 503),
        ),
    ]
