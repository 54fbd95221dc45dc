"""Answers that are made while they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from usage_collector.ledger import Pace, pacing
from usage_collector.web import streaming

if TYPE_CHECKING:
    from collections.abc import Iterator


async def test_each_piece_of_an_answer_is_a_turn_of_its_own() -> None:
    """A long answer rests after each piece while events come in, and arrives whole."""
    worked, rests, closed = [0.0], list[float](), list[bool]()

    def chunks() -> Iterator[bytes]:
        for number in range(5):
            worked[0] += 0.01
            yield b"%d" % number

    def rest(seconds: float) -> None:
        rests.append(seconds)

    pace = Pace(lambda: True, worked=lambda: worked[0], process=lambda: len(rests), sleep=rest)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await streaming.send(request, chunks(), lambda: closed.append(True), {}, pace)

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestClient(TestServer(app)) as client:
        assert await (await client.get("/")).read() == b"01234"
    assert [round(one, 6) for one in rests if one] == [round(0.01 * (1 / pacing.SHARE - 1), 6)] * 5
    assert closed == [True]
