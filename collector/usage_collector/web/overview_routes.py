"""What the page shows that no other route tells: usage in columns, and what came last."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from usage_collector import usage
from usage_collector.web import queries
from usage_collector.web.routing import Parameter, Route
from usage_collector.web.tokens import Access
from usage_collector.web.usage_routes import MAX_DAYS, compressed, partial

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import web

    from usage_collector.usage import Fleet, Missing

DAYS = 30
"""In an answer where nothing is asked for."""
_MOST = 100
_WINDOW = (
    Parameter("by", f"series of each: {', '.join(usage.BY)} (default: zone)"),
    Parameter("since", f"first day, UTC, inclusive; {DAYS} days in all if left out"),
    Parameter("until", "last day, inclusive; today if left out, and never later"),
    Parameter("top", f"how many series at most, 1 to {_MOST} (default: 10); the others are one"),
)


def routes(fleet: Fleet) -> list[Route]:
    """``GET /v1/usage/series`` and ``GET /v1/usage/latest``."""

    async def get_series(request: web.BaseRequest, _: Mapping[str, str]) -> web.Response:
        given = queries.only(request, "by", "since", "until", "top")
        by, top = usage.read_by(given.get("by", "zone")), queries.number(given, "top", 10, _MOST)
        today = fleet.today
        query = usage.query(given.get("since"), given.get("until"), None, today + 1, MAX_DAYS)
        if query.since is None:
            query = usage.last_days(query.until, DAYS)
        answered, missing = await asyncio.to_thread(fleet.series, query, by, top)
        return _json(answered, missing)

    async def get_latest(request: web.BaseRequest, _: Mapping[str, str]) -> web.Response:
        count = queries.number(queries.only(request, "count"), "count", 20, _MOST)
        lines, missing = await asyncio.to_thread(fleet.latest, count)
        return _json({"latest": lines}, missing)

    return [
        Route(
            "GET", "/v1/usage/series", get_series, Access.READ,
            "Hours and counts of each day in columns, today's so far too, most hours first",
            {200: "The series; `partial` names collectors of which not all is in them."},
            _WINDOW, errors=(400, 401, 403, 500),
        ),
        Route(
            "GET", "/v1/usage/latest", get_latest, Access.READ,
            "The jobs and sessions that were learnt of last, of all collectors",
            {200: "They, the newest first."},
            (Parameter("count", f"how many, 1 to {_MOST} (default: 20)"),),
            errors=(400, 401, 403, 500),
        ),
    ]  # fmt: skip


def _json(answered: dict[str, Any], missing: Sequence[Missing]) -> web.Response:
    headers = partial(answered, missing)
    return compressed(msgspec.json.encode(answered), headers)
