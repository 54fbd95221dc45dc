"""Customers on the reporting listener."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from usage_collector import usage
from usage_collector.errors import InvalidInput
from usage_collector.periods import rfc3339
from usage_collector.web import bodies, queries
from usage_collector.web.room import Room
from usage_collector.web.routing import Route
from usage_collector.web.tokens import Access
from usage_collector.web.usage_routes import CSV, FORM, WINDOW, partial

if TYPE_CHECKING:
    from collections.abc import Mapping

    from usage_collector.usage import Customer, Fleet

ALL = "-"
"""In the place of a customer: all of them."""


class _Merge(msgspec.Struct, forbid_unknown_fields=True):
    into: str


_read_merge = msgspec.json.Decoder(_Merge).decode


class Customers:
    """The handlers, and what they need."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._room = Room()

    async def get_all(self, request: web.BaseRequest, _: Mapping[str, str]) -> web.Response:
        """All customers, and whom nobody registered."""
        queries.only(request)
        register = self._fleet.registry.register
        unknown, missing = await asyncio.to_thread(self._fleet.unknown_customers, register)
        known = sorted(register.customers.values(), key=lambda one: one.id)
        body = {"customers": [_described(one) for one in known], "unknown": unknown}
        headers = partial(body, missing)
        return web.Response(
            body=msgspec.json.encode(body), content_type="application/json", headers=headers
        )

    async def get_one(self, request: web.BaseRequest, path: Mapping[str, str]) -> web.Response:
        """One customer."""
        queries.only(request)
        return _json(self._fleet.registry.register.get(path["customer"]))

    async def put(self, request: web.BaseRequest, path: Mapping[str, str]) -> web.Response:
        """Register or change a customer."""
        queries.only(request)
        with self._room.lease() as lease:
            details = usage.read_details(await bodies.read(request, lease))
        made = await asyncio.to_thread(self._fleet.put_customer, path["customer"], details)
        return _json(made)

    async def merge(self, request: web.BaseRequest, path: Mapping[str, str]) -> web.Response:
        """Let another customer take its place."""
        queries.only(request)
        with self._room.lease() as lease:
            body = await bodies.read(request, lease)
        try:
            into = _read_merge(body).into
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidInput(f"the merge cannot be read: {error}", 'send {"into": "…"}') from None
        return _json(await asyncio.to_thread(self._fleet.registry.merge, path["customer"], into))

    async def get_limits(self, request: web.BaseRequest, _: Mapping[str, str]) -> web.Response:
        """Usage against quotas."""
        queries.only(request)
        lines, missing = await asyncio.to_thread(self._fleet.limits)
        body: dict[str, Any] = {"limits": lines, "alerts": self._fleet.alerts()}
        headers = partial(body, missing)
        return web.Response(
            body=msgspec.json.encode(body), content_type="application/json", headers=headers
        )

    async def get_usage(self, request: web.BaseRequest, path: Mapping[str, str]) -> web.Response:
        """What a customer, or each of them, used by month."""
        given = queries.only(request, "since", "until", "format")
        wanted = queries.one_of(given, "format", "json", "csv")
        query = usage.query(given.get("since"), given.get("until"), None, self._fleet.today)
        only = None if path["customer"] == ALL else path["customer"]
        found, missing = await asyncio.to_thread(self._fleet.customer_usage, query, only)
        body: dict[str, Any] = {**found}
        headers = partial(body, missing)
        if wanted == "csv":
            text = await asyncio.to_thread(usage.as_csv, found["usage"])
            return web.Response(text=text, content_type=CSV, headers=headers)
        return web.Response(
            body=msgspec.json.encode(body), content_type="application/json", headers=headers
        )

    def routes(self) -> list[Route]:
        """Everything as a table."""
        return [
            Route(
                "GET", "/v1/customers", self.get_all, Access.READ,
                "All customers, and those in events that nobody registered", {200: "Both."},
                errors=(400, 401, 403, 500),
            ),
            Route(
                "GET", "/v1/customers/{customer}", self.get_one, Access.READ, "One customer",
                {200: "It."}, errors=(400, 401, 403, 404),
            ),
            Route(
                "PUT", "/v1/customers/{customer}", self.put, Access.ADMIN,
                "Register, rename, change or archive a customer", {200: "As it is kept."},
                body="name; customer_ids, contracts, archived, plan, monthly_hours, "
                "concurrent_sessions",
                errors=(400, 401, 403, 408, 409, 413, 415, 503),
            ),
            Route(
                "POST", "/v1/customers/{customer}/merge", self.merge, Access.ADMIN,
                "Let another customer take its place, for all months; itself: undo that",
                {200: "As it is kept."}, body="into: the other's id",
                errors=(400, 401, 403, 404, 408, 409, 413, 415, 503),
            ),
            Route(
                "GET", "/v1/limits", self.get_limits, Access.READ,
                "Usage against quotas: this month so far, by its end, and sessions at once",
                {200: "A line for each customer with a quota."}, errors=(400, 401, 403, 500),
            ),
            Route(
                "GET", "/v1/customers/{customer}/usage", self.get_usage, Access.READ,
                "What a customer (`-`: each of them) used by month, mode and type",
                {200: "The lines."}, (*WINDOW, FORM), also=(CSV,), errors=(400, 401, 403, 500),
            ),
        ]  # fmt: skip


def _described(customer: Customer) -> dict[str, object]:
    details: dict[str, object] = msgspec.to_builtins(customer.details)
    return {
        "id": customer.id,
        **details,
        "merged_into": customer.merged_into,
        "changed": rfc3339(customer.changed),
        "changed_at_collector": customer.by,
    }


def _json(customer: Customer) -> web.Response:
    body = msgspec.json.encode(_described(customer))
    return web.Response(body=body, content_type="application/json")
