"""When looking at what is not watched of a resource is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from usage_operator.kube import Access, Client
from usage_operator.plan import Ref
from usage_operator.reconcile import Key
from usage_operator.reconcile.calm import Calm, Patience, Versions, versions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = Key("metering", "speech")
KEYS, CLIENTS = Ref("Secret", "speech-keys"), Ref("ConfigMap", "clients")
SEEN: Versions = {KEYS: "1", CLIENTS: "2"}


class Unwatched:
    """What users made, with its versions, as the API gives it."""

    def __init__(self) -> None:
        self.versions = dict(SEEN)

    async def get(self, request: web.Request) -> web.Response:
        """Answer for one of them."""
        kind = {"secrets": "Secret", "configmaps": "ConfigMap"}[request.match_info["plural"]]
        name = request.match_info["name"]
        if Ref(kind, name) not in self.versions:
            return web.json_response({"message": "not found"}, status=404)
        metadata = {"name": name, "resourceVersion": self.versions[Ref(kind, name)]}
        return web.json_response({"kind": kind, "metadata": metadata})


@pytest.fixture
async def served() -> AsyncIterator[tuple[Unwatched, Client]]:
    """Give what users made, and a client of the server that has it."""
    theirs = Unwatched()
    app = web.Application()
    app.router.add_get("/api/v1/namespaces/metering/{plural}/{name}", theirs.get)
    async with TestServer(app) as server:
        access = Access(str(server.make_url("")).rstrip("/"), "metering")
        async with Client(access) as client:
            yield theirs, client


def settled() -> Calm:
    """Give what is known once everything was looked at and found settled."""
    calm = Calm()
    calm.begin(KEY)
    calm.settle(KEY, dict(SEEN))
    return calm


@pytest.mark.parametrize("one", [KEYS, CLIENTS])
async def test_what_is_as_it_was_is_enough(served: tuple[Unwatched, Client], one: Ref) -> None:
    """A change or a loss of one asks for a full look."""
    theirs, client = served
    calm = settled()
    assert await calm.holds(client, KEY)
    theirs.versions[one] = "3"
    assert not await calm.holds(client, KEY)
    theirs.versions[one] = SEEN[one]
    assert await calm.holds(client, KEY)
    del theirs.versions[one]
    assert not await calm.holds(client, KEY)


async def test_events_end_the_calm(served: tuple[Unwatched, Client]) -> None:
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


def test_versions_are_by_kind_and_name() -> None:
    """The API's own versions are compared, not what objects hold."""
    metadata = {"name": "speech-keys", "resourceVersion": "7"}
    secret = {"kind": "Secret", "metadata": metadata, "data": {"a": "b"}}
    assert versions([secret]) == {KEYS: "7"}


def test_looks_become_less_frequent_while_nothing_happens() -> None:
    """Often at first, 20 s apart for five minutes, then up to a minute; an event begins anew."""
    patience = Patience(jitter=lambda: 0.5)
    first = [patience.seconds(KEY) for _ in range(20)]
    assert first == [5.0] * 5 + [10.0] + [20.0] * 14
    assert sum(first) > 300
    assert [patience.seconds(KEY) for _ in range(2000)] == [54.0] * 2000
    patience.forget(KEY)
    assert patience.seconds(KEY) == 5


def test_looks_after_a_long_time_are_spread() -> None:
    """What got into trouble together is not looked at together for ever."""
    patience = Patience()
    found = [patience.seconds(KEY) for _ in range(120)][20:]
    assert all(48 <= one <= 60 for one in found)
    assert len(set(found)) > 50
