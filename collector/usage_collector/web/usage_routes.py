"""Usage on the reporting listener: for people and programs, and for the other collectors."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
from aiohttp import web

from usage_collector import usage
from usage_collector.errors import InvalidInput
from usage_collector.web import queries
from usage_collector.web.routing import Parameter, Route
from usage_collector.web.tokens import Access

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from usage_collector.usage import Fleet

MAX_DAYS = 400
"""Of coverage in one answer."""
_DAY = {"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
WINDOW = (
    Parameter(
        "since",
        "first day, UTC, inclusive: YYYY-MM-DD; the first there is if left out",
        schema=_DAY,
    ),
    Parameter("until", "last day, inclusive; yesterday if left out, and never later", schema=_DAY),
)
CSV = "text/csv"
FORM = Parameter(
    "format", "json (default) or csv", schema={"type": "string", "enum": ["json", "csv"]}
)
_LARGE = 1 << 16
"""Bytes; larger answers are compressed in a thread."""
PARTIAL = "Usage-Partial"
"""Header that names the collectors of which not all is in the answer."""


def partial(answer: dict[str, Any], missing: Sequence[usage.Missing]) -> dict[str, str]:
    """Add to an answer what is missing from it; the header that says so too."""
    if not missing:
        return {}
    answer["partial"] = [one.line for one in missing]
    names = dict.fromkeys(quote(one.collector, safe=":/") for one in missing)
    return {PARTIAL: ", ".join(names)}


def compressed(body: bytes, headers: Mapping[str, str]) -> web.Response:
    """JSON for whoever takes it smaller too: a year of days is a tenth then."""
    response = web.Response(
        body=body,
        content_type="application/json",
        headers=headers,
        zlib_executor_size=_LARGE,
    )
    response.enable_compression()
    return response


def routes(fleet: Fleet) -> list[Route]:
    """``GET /v2/usage``, and what collectors ask each other."""

    async def get_usage(request: web.BaseRequest, _: Mapping[str, str]) -> web.Response:
        given = queries.only(request, "since", "until", "group_by", "customer", "format")
        wanted = queries.one_of(given, "format", "json", "csv")
        query = usage.query(
            given.get("since"), given.get("until"), given.get("group_by"), fleet.today
        )
        query = replace(query, customer=given.get("customer"))
        answered, missing = await asyncio.to_thread(fleet.answer, query)
        headers = partial(answered, missing)
        if wanted == "csv":
            # Fifty thousand lines take an eighth of a second, in which no event is taken.
            text = await asyncio.to_thread(usage.as_csv, usage.flat(answered))
            return web.Response(text=text, content_type=CSV, headers=headers)
        body = msgspec.json.encode(answered)
        return web.Response(body=body, content_type="application/json", headers=headers)

    async def get_coverage(request: web.BaseRequest, _: Mapping[str, str]) -> web.Response:
        given = queries.only(request, "since", "until")
        query = usage.query(
            given.get("since"), given.get("until"), None, fleet.today + 1, longest=MAX_DAYS
        )
        body = msgspec.json.encode(await asyncio.to_thread(fleet.covered, query))
        return compressed(body, {})

    async def get_news(request: web.BaseRequest, _: Mapping[str, str]) -> web.Response:
        given = queries.only(request, "epoch", "after", "everything", "register")
        after = given.get("after", "0")
        if not (after.isascii() and after.isdigit() and len(after) < 19):
            raise InvalidInput(f"after is {after[:40]!r}", "use a whole number")
        body = await asyncio.to_thread(
            fleet.news,
            given.get("epoch", ""),
            int(after),
            everything="everything" in given,
            register=given.get("register", ""),
        )
        return web.Response(body=body, content_type="application/msgpack")

    group = "|".join((*usage.GROUPS, f"{usage.DIMENSION}[^,]+"))
    groups = {"type": "string", "pattern": f"^({group})(,({group}))*$"}
    window = (
        *WINDOW,
        Parameter(
            "group_by",
            f"also by these, separated by commas: {', '.join(usage.GROUPS)}, or "
            f"{usage.DIMENSION}NAME for any dimension of the events",
            schema=groups,
        ),
        Parameter("customer", "of this registered customer only, by its id"),
        FORM,
    )
    days = (
        Parameter("since", "first day, UTC, inclusive; 30 days in all if left out", schema=_DAY),
        Parameter("until", "last day, inclusive; today if left out, and never later", schema=_DAY),
    )
    cursor = (
        Parameter("epoch", "that of the last answer"),
        Parameter("after", "the number of the last answer"),
        Parameter("everything", "also what it knows of other collectors"),
        Parameter("register", "digest of the customers that are known already"),
    )
    return [
        Route(
            "GET", "/v2/usage", get_usage, Access.READ,
            "Jobs, sessions and hours of all collectors, by UTC day, each counted once",
            {200: "The usage; `partial` names collectors of which not all is in it."},
            window, also=(CSV,), errors=(400, 401, 403, 500),
        ),
        Route(
            "GET", "/v1/coverage", get_coverage, Access.READ,
            "How much of each day is known, by zone, and what is not",
            {200: "A line for each day and zone."}, days, errors=(400, 401, 403, 500),
        ),
        Route(
            "GET", "/v1/usage/news", get_news, Access.READ,
            "What this collector learnt of usage since it was last asked, for other collectors",
            {200: "MessagePack."}, cursor, content="application/msgpack",
            errors=(400, 401, 403, 500, 503), unlimited=True,
        ),
    ]  # fmt: skip
