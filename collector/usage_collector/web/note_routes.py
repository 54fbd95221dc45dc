"""What jobs tell of backups and of the next export, for the page and for people."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from usage_collector import notes
from usage_collector.web import bodies, queries
from usage_collector.web.room import Room
from usage_collector.web.routing import Route
from usage_collector.web.tokens import Access

if TYPE_CHECKING:
    from collections.abc import Mapping

    from usage_collector.ledger import Ledgers


def routes(kept: notes.Notes, ledgers: Ledgers, collector: str) -> list[Route]:
    """``GET /v1/notes``, ``PUT /v1/notes/backup`` and ``PUT /v1/notes/export``."""
    room = Room()

    async def get(request: web.BaseRequest, _: Mapping[str, str]) -> web.Response:
        queries.only(request)
        told = await asyncio.to_thread(described, kept, ledgers, collector)
        return web.Response(body=msgspec.json.encode(told), content_type="application/json")

    def put(kind: type[notes.Backup | notes.Export]) -> Any:
        async def take(request: web.BaseRequest, _: Mapping[str, str]) -> web.Response:
            queries.only(request)
            with room.lease() as lease:
                note = notes.read(kind, await bodies.read(request, lease))
            await asyncio.to_thread(kept.put, note)
            body = msgspec.json.encode(note)
            return web.Response(body=body, content_type="application/json")

        return take

    errors = (400, 401, 403, 408, 413, 415, 503)
    return [
        Route(
            "GET", "/v1/notes", get, Access.READ,
            "What jobs told of this collector's backups, and when which month is due next",
            {200: "Both; null and empty where nobody told."}, errors=(400, 401, 403),
        ),
        Route(
            "PUT", "/v1/notes/backup", put(notes.Backup), Access.ADMIN,
            "Tell of a backup of this collector", {200: "It is kept."},
            body="place, taken, ends (ledger: last position); verified, verified_ok, continuous",
            errors=errors,
        ),
        Route(
            "PUT", "/v1/notes/export", put(notes.Export), Access.ADMIN,
            "Tell which month is to be delivered next", {200: "It is kept."},
            body="period, due", errors=errors,
        ),
    ]  # fmt: skip


def described(kept: notes.Notes, ledgers: Ledgers, collector: str) -> dict[str, Any]:
    """The notes that a collector has."""
    there = [(one.id, one.first, one.last) for one in ledgers.all()]
    return {
        "collector": collector,
        "backups": [_backup(one, notes.missing(one, there)) for one in kept.backups],
        "export": kept.export,
    }


def _backup(backup: notes.Backup, missing: int) -> dict[str, object]:
    told: dict[str, object] = msgspec.to_builtins(backup)
    del told["ends"]
    return {**told, "missing_events": missing}
