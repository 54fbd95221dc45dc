"""How a mirror is kept up to date, against a server that answers like the API server."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.operator.support import as_observed, context
from usage_operator.kube import Access, Client, Mirror, Reflector, reflector
from usage_operator.manifests import service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SERVICE = as_observed(service.ingest(context()))


def of(name: str, version: int) -> dict[str, Any]:
    """Give a Service of the resource."""
    return SERVICE | {
        "metadata": SERVICE["metadata"] | {"name": name, "resourceVersion": str(version)}
    }


class Api:
    """Lists in pages of one, and tells what its script says; then it is silent."""

    def __init__(self) -> None:
        self.items = [of("a", 1), of("b", 2)]
        self.version = 5
        self.refused: list[int] = []
        self.script: list[list[dict[str, Any]]] = []
        self.lists = 0
        self.followed: list[str] = []
        self.idle = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a list or a watch."""
        assert request.query["labelSelector"] == "app.kubernetes.io/managed-by=usage-operator"
        if self.refused and (status := self.refused.pop(0)):
            return web.json_response({"message": "no"}, status=status)
        if "watch" in request.query:
            return await self._watch(request)
        place = int(request.query.get("continue", 0))
        self.lists += not place
        metadata: dict[str, str] = {"resourceVersion": str(self.version)}
        if place + 1 < len(self.items):
            metadata["continue"] = str(place + 1)
        return web.json_response({"items": self.items[place : place + 1], "metadata": metadata})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        self.followed.append(request.query["resourceVersion"])
        response = web.StreamResponse()
        await response.prepare(request)
        if self.script:
            for event in self.script.pop(0):
                # Events come in pieces as the network likes.
                line = json.dumps(event).encode() + b"\n"
                await response.write(line[:10])
                await response.write(line[10:])
            return response
        self.idle.set()
        await asyncio.Event().wait()
        return response


@asynccontextmanager
async def reflected(api: Api) -> AsyncIterator[tuple[Mirror, list[str]]]:
    """Keep a mirror until the server has nothing more to tell; give it with what was told."""
    app = web.Application()
    app.router.add_get("/api/v1/namespaces/metering/services", api.handle)
    mirror, told = Mirror(["Service"]), list[str]()
    mirror.listen(lambda *place: told.append("/".join(place)))
    async with TestServer(app) as server:
        access = Access(str(server.make_url("")).rstrip("/"), "metering")
        async with Client(access, connections=0) as client:
            task = asyncio.create_task(Reflector(client, mirror, "Service", "metering").run())
            try:
                async with asyncio.timeout(100):
                    await api.idle.wait()
                yield mirror, told
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


def names(mirror: Mirror) -> list[str]:
    """Give the names of what there is."""
    return [one["metadata"]["name"] for one in mirror.list("Service", "metering", "speech") or []]


async def test_it_lists_in_pages_and_follows() -> None:
    """What is added, changed and deleted after the list is taken over; bookmarks move on."""
    api = Api()
    bookmark = {"kind": "Service", "metadata": {"resourceVersion": "9"}}
    api.script = [
        [
            {"type": "ADDED", "object": of("c", 6)},
            {"type": "DELETED", "object": of("a", 7)},
            {"type": "BOOKMARK", "object": bookmark},
        ]
    ]
    async with reflected(api) as (mirror, told):
        assert names(mirror) == ["b", "c"]
    assert (api.lists, api.followed) == (1, ["5", "9"])
    assert told == ["metering/speech"] * 4


async def test_an_expired_version_is_listed_anew() -> None:
    """All is there in the end, whether a watch, its event or the list's second page says 410."""
    said, told, midway = Api(), Api(), Api()
    said.refused = [0, 0, 410]
    told.script = [[{"type": "ERROR", "object": {"code": 410, "message": "too old"}}]]
    midway.refused = [0, 410]
    for api in (said, told, midway):
        async with reflected(api) as (mirror, _):
            assert names(mirror) == ["a", "b"]
        assert api.lists == 2


async def test_a_cut_watch_goes_on_where_it_was() -> None:
    """An outage costs no new list."""
    api = Api()
    api.script = [[{"type": "ADDED", "object": of("c", 6)}], []]
    async with reflected(api) as (mirror, _):
        assert names(mirror) == ["a", "b", "c"]
    assert (api.lists, api.followed) == (1, ["5", "6", "6"])


async def test_a_server_that_ends_everything_at_once_is_not_flooded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Watches that tell nothing, and versions that are never known, are asked for ever later."""
    ended, expired = Api(), Api()
    ended.script = [[] for _ in range(5)]
    expired.script = [[{"type": "ERROR", "object": {"code": 410}}] for _ in range(5)]
    monkeypatch.setattr(reflector, "_PAUSES", (0.001, 0.01))
    really = asyncio.sleep
    for api in (ended, expired):
        pauses: list[float] = []

        async def sleep(seconds: float, pauses: list[float] = pauses) -> None:
            pauses.append(seconds)
            await really(seconds)

        monkeypatch.setattr(asyncio, "sleep", sleep)
        async with reflected(api):
            assert len([one for one in pauses if one > 0]) == 5


async def test_an_outage_of_hours_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    """After thousands of failures in a row the mirror is still filled when the server is back."""
    api = Api()
    api.refused = [500] * 1100
    monkeypatch.setattr(reflector, "_PAUSES", (0.0, 0.0))
    async with reflected(api) as (mirror, _):
        assert names(mirror) == ["a", "b"]


async def test_refusals_are_survived() -> None:
    """A server that is busy is asked again; nothing is taken for known before the list is whole."""
    api = Api()
    api.refused = [500, 429, 410]
    async with reflected(api) as (mirror, _):
        assert names(mirror) == ["a", "b"]
    assert api.lists == 1


@pytest.mark.parametrize("refused", [[403], [500] * 1000, [200] * 1000])
async def test_a_kind_that_is_not_listed_makes_nobody_wait(
    refused: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may not list a kind, gets no answer or one that is no list, has to ask for it."""
    monkeypatch.setattr(reflector, "_PAUSES", (0.0, 0.001))
    api = Api()
    api.refused = list(refused)
    app = web.Application()
    app.router.add_get("/api/v1/namespaces/metering/services", api.handle)
    mirror = Mirror(["Service"])
    async with TestServer(app) as server:
        access = Access(str(server.make_url("")).rstrip("/"), "metering")
        async with Client(access, connections=0) as client, asyncio.timeout(100):
            one = Reflector(client, mirror, "Service", "metering")
            task = asyncio.create_task(one.run())
            await one.tried.wait()
            assert mirror.list("Service", "metering", "speech") is None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
