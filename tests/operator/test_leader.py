"""The Lease, against a server that keeps one as the API does, and a clock of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from usage_operator import errors
from usage_operator.kube import Access, Client
from usage_operator.leader import DURATION, Leader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Keeper:
    """Keeps one Lease, with a version that grows; ``down`` makes it answer 503."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.down = False
        self.refused: Callable[[], None] = lambda: None

    @property
    def holder(self) -> str:
        """Who holds the Lease."""
        return str(self.lease["spec"]["holderIdentity"]) if self.lease else ""

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a get, a create or an apply."""
        if self.down:
            self.refused()
            return web.json_response({"message": "down"}, status=503)
        if request.method == "GET":
            return web.json_response(self.lease or {}, status=200 if self.lease else 404)
        body = await request.json()
        if request.method == "POST":
            stale = self.lease is not None
        else:
            stale = body["metadata"]["resourceVersion"] != str(self.version)
        if stale:
            return web.json_response({"message": "conflict"}, status=409)
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        self.lease = body
        return web.json_response(body)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture
async def kept() -> AsyncIterator[tuple[Keeper, Client]]:
    """Give the Lease's keeper, and a client of its server."""
    keeper = Keeper()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", keeper.handle)
    async with TestServer(app) as server:
        access = Access(str(server.make_url("")).rstrip("/"), "m")
        async with Client(access) as client:
            yield keeper, client


async def test_one_holds_it_and_the_other_waits(kept: tuple[Keeper, Client]) -> None:
    """As long as it is renewed nobody else gets it; given back, it is free at once."""
    keeper, client = kept
    clock = Clock()
    one, other = (
        Leader(client, "m", "one", "lease", clock),
        Leader(client, "m", "other", "lease", clock),
    )
    assert not one.holds()
    assert await one.attempt()
    assert one.holds()
    for _ in range(20):
        clock.now += 2
        assert await one.attempt()
        assert not await other.attempt()
        assert not other.holds()
    await one.release()
    assert not one.holds()
    assert await other.attempt()
    assert keeper.holder == "other"


async def test_a_lease_that_is_not_renewed_is_lost_before_it_is_taken(
    kept: tuple[Keeper, Client],
) -> None:
    """The holder stops first, then the other takes over; never do both hold it."""
    keeper, client = kept
    clock = Clock()
    one, other = (
        Leader(client, "m", "one", "lease", clock),
        Leader(client, "m", "other", "lease", clock),
    )
    await one.attempt()
    taken = None
    for second in range(2 * DURATION):
        if await other.attempt():
            taken = taken or second
        assert not (one.holds() and other.holds())
        clock.now += 1
    assert taken is not None
    assert DURATION <= taken <= DURATION + 2
    assert not await one.attempt()
    await one.release()
    assert keeper.holder == "other"


async def test_of_two_that_are_equally_quick_one_gets_it(kept: tuple[Keeper, Client]) -> None:
    """The API server refuses what was written over another's write."""
    keeper, client = kept
    one, other = Leader(client, "m", "one", "lease"), Leader(client, "m", "other", "lease")
    assert await one.attempt()
    await one.release()
    before = keeper.lease
    assert await one.attempt()
    after, keeper.lease = keeper.lease, before
    assert not await other.attempt()
    keeper.lease = after
    assert not other.holds()


async def leading(client: Client, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Leader:
    """One that has the Lease and renews it often."""
    monkeypatch.setattr("usage_operator.leader._INTERVAL", 0.05)
    candidate = Leader(client, "m", "one", "lease", clock)
    await candidate.attempt()
    return candidate


async def test_keep_ends_when_the_lease_cannot_be_renewed(
    kept: tuple[Keeper, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is down is borne with until the Lease may be another's."""
    keeper, client = kept
    clock = Clock()
    candidate = await leading(client, clock, monkeypatch)
    keeper.down, keeper.refused = True, lambda: clock.move(4)
    await candidate.keep()
    assert not candidate.holds()
    assert clock.now >= 1000 + 8


async def test_keep_ends_whatever_is_amiss(
    kept: tuple[Keeper, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody thought of leaves no process behind that leads for ever without a Lease."""
    _, client = kept
    clock = Clock()
    candidate = await leading(client, clock, monkeypatch)

    def amiss(_: Access) -> str:
        clock.move(4)
        raise RuntimeError("whatever it is")

    monkeypatch.setattr(Access, "bearer", amiss)
    monkeypatch.setattr(client, "_token_read", float("-inf"))
    await candidate.keep()
    assert not candidate.holds()


async def test_without_the_lease_nothing_is_written(kept: tuple[Keeper, Client]) -> None:
    """The client refuses to change anything, and still reads."""
    keeper, client = kept
    async with Client(client.access, lambda: False) as forbidden:
        assert await forbidden.get("Lease", "m", "x") is None
        with pytest.raises(errors.NotLeading):
            await Leader(forbidden, "m", "one", "lease").attempt()
    assert keeper.lease is None
