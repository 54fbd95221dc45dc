"""When looking at the Secrets of a resource is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from usage_operator.kube import Access, Client
from usage_operator.reconcile import Key
from usage_operator.reconcile.calm import Calm, Patience, versions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = Key("metering", "speech")
SEEN = {"speech-keys": "1", "speech-tls": "2"}


class Secrets:
    """Secrets by name, with their versions, as the API gives them."""

    def __init__(self) -> None:
        self.versions = dict(SEEN)

    async def get(self, request: web.Request) -> web.Response:
        """Answer for one of them."""
        name = request.match_info["name"]
        if name not in self.versions:
            return web.json_response({"message": "not found"}, status=404)
        metadata = {"name": name, "resourceVersion": self.versions[name]}
        return web.json_response({"kind": "Secret", "metadata": metadata})


@pytest.fixture
async def served() -> AsyncIterator[tuple[Secrets, Client]]:
    """Give Secrets, and a client of the server that has them."""
    secrets = Secrets()
    app = web.Application()
    app.router.add_get("/api/v1/namespaces/metering/secrets/{name}", secrets.get)
    async with TestServer(app) as server:
        access = Access(str(server.make_url("")).rstrip("/"), "metering")
        async with Client(access) as client:
            yield secrets, client


def settled() -> Calm:
    """Give what is known once everything was looked at and found settled."""
    calm = Calm()
    calm.begin(KEY)
    calm.settle(KEY, dict(SEEN))
    return calm


async def test_secrets_as_they_were_are_enough(served: tuple[Secrets, Client]) -> None:
    """A change or a loss of one asks for a full look."""
    secrets, client = served
    calm = settled()
    assert await calm.holds(client, KEY)
    secrets.versions["speech-keys"] = "3"
    assert not await calm.holds(client, KEY)
    secrets.versions["speech-keys"] = "1"
    assert await calm.holds(client, KEY)
    del secrets.versions["speech-tls"]
    assert not await calm.holds(client, KEY)


async def test_events_end_the_calm(served: tuple[Secrets, Client]) -> None:
    """Neither before nor during a look is an event missed."""
    _, client = served
    calm = settled()
    calm.disturb(KEY)
    assert not await calm.holds(client, KEY)
    calm.begin(KEY)
    calm.disturb(KEY)
    calm.settle(KEY, dict(SEEN))
    assert not await calm.holds(client, KEY)
    assert not await Calm().holds(client, KEY)


def test_versions_are_by_name() -> None:
    """The API's own versions are compared, not what Secrets hold."""
    secret = {"metadata": {"name": "speech-keys", "resourceVersion": "7"}, "data": {"a": "b"}}
    assert versions([secret]) == {"speech-keys": "7"}


def test_looks_become_less_frequent_while_nothing_happens() -> None:
    """Often at first, up to 20 s apart then; whatever happens begins anew."""
    patience = Patience()
    assert [patience.seconds(KEY) for _ in range(8)] == [5, 5, 5, 5, 5, 10, 20, 20]
    patience.forget(KEY)
    assert patience.seconds(KEY) == 5
