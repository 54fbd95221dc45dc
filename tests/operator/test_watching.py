"""How kopf watches for us, against a server that answers like the API server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.operator.support import document
from usage_operator import errors, naming, watch
from usage_operator.kube import Access
from usage_operator.kube.client import Page
from usage_operator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from usage_operator.kube import Client
    from usage_operator.reconcile import Key

NAMES = ("a", "b", "c")


class Hasty:
    """A client whose first list fails in a way that nobody thought of."""

    def __init__(self) -> None:
        self.lists = 0

    async def pages(self, *_: object) -> AsyncIterator[Page]:
        """Give one resource, but not at first."""
        self.lists += 1
        if self.lists == 1:
            raise RuntimeError("whatever it is")
        yield Page([document()], "1")


async def test_resources_are_looked_at_again_whatever_went_wrong_before() -> None:
    """Without these looks nobody would see that something is overdue."""
    seen: asyncio.Queue[Key] = asyncio.Queue()
    settings = Settings(resync_seconds=0.01)
    looks = watch.relist(
        cast("Client", Hasty()), settings, ("metering",), lambda key, _: seen.put_nowait(key)
    )
    task = asyncio.create_task(looks)
    try:
        assert await asyncio.wait_for(seen.get(), 60) == ("metering", "speech")
    finally:
        task.cancel()


DEFINITIONS = "apiextensions.k8s.io"


def kinds(name: str, kind: str, *, namespaced: bool) -> dict[str, Any]:
    """Describe a version that has one kind, as discovery does."""
    verbs = ["list", "watch"]
    one = {"name": name, "kind": kind, "singularName": "", "namespaced": namespaced, "verbs": verbs}
    return {"resources": [one]}


def group(name: str) -> dict[str, Any]:
    """Describe a group that has one version, as discovery does."""
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


DISCOVERY = {
    "/api": {"versions": ["v1"]},
    "/api/v1": kinds("namespaces", "Namespace", namespaced=False),
    "/apis": {"groups": [group(naming.GROUP), group(DEFINITIONS)]},
    f"/apis/{naming.GROUP}/v1": kinds(naming.PLURAL, naming.KIND, namespaced=True),
    f"/apis/{DEFINITIONS}/v1": kinds("customresourcedefinitions", "Definition", namespaced=False),
}
"""What kopf asks for before it watches."""


class Api:
    """Knows of our kind, lists a resource a page, and watches in silence.

    ``refused``: with what the next lists are answered; 0: as they should be, -1: never.
    """

    def __init__(self, *refused: int) -> None:
        self.refused = list(refused)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer whatever is asked."""
        if request.path in DISCOVERY:
            return web.json_response(DISCOVERY[request.path])
        if "watch" in request.query:
            response = web.StreamResponse()
            await response.prepare(request)
            await asyncio.Event().wait()
        if self.refused and (status := self.refused.pop(0)):
            if status < 0:
                await asyncio.Event().wait()
            said = {"kind": "Status", "code": status, "message": "no"}
            return web.json_response(said, status=status)
        return self._page(int(request.query.get("continue", 0)))

    @staticmethod
    def _page(place: int) -> web.Response:
        thing = document(NAMES[place])
        thing["metadata"] |= {"uid": NAMES[place], "resourceVersion": "1"}
        more = str(place + 1) if place + 1 < len(NAMES) else ""
        metadata = {"resourceVersion": "5", "continue": more}
        return web.json_response({"items": [thing], "metadata": metadata})


async def told(api: Api) -> set[str]:
    """Watch until all resources were told of; give those that were."""
    app = web.Application()
    app.router.add_get("/{tail:.*}", api.handle)
    async with TestServer(app) as server:
        access = Access(str(server.make_url("")).rstrip("/"), "metering")
        found = set[str]()
        # In a thread of its own, for kopf takes signals where it can.
        await asyncio.to_thread(asyncio.run, _watch(access, found))
        return found


async def _watch(access: Access, found: set[str]) -> None:
    ready, stop = asyncio.Event(), asyncio.Event()

    def take(key: Key, _: float) -> None:
        found.add(key.name)
        if len(found) == len(NAMES):
            stop.set()

    async with asyncio.timeout(60):
        await watch.watch(access, Settings(), ("metering",), take, ready=ready, stop=stop)


async def test_a_server_that_is_busy_for_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again and again, as a load balancer without API servers behind it is."""
    assert sum(watch._BACKOFFS) > 240
    monkeypatch.setattr(watch, "_BACKOFFS", [0.0] * len(watch._BACKOFFS))
    busy = [503, 429, 500] * 8
    assert await told(Api(*busy, 0, *busy)) == set(NAMES)


async def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that hangs is made again."""
    monkeypatch.setattr(watch, "_ANSWER", 0.5)
    assert await told(Api(-1, 0, -1)) == set(NAMES)


async def test_a_list_that_expires_midway() -> None:
    """The watch ends with an error that is ours, so that the process begins anew with all."""
    api = Api(0, 410)
    with pytest.raises(errors.WatchLost, match="begins anew"):
        await told(api)
    assert await told(api) == set(NAMES)
