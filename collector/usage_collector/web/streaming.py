"""Answers that are made while they are sent, as fast as the client takes them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import web

from usage_collector.errors import UsageError
from usage_collector.web.logs import BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from usage_collector.ledger import Pace

_log = logging.getLogger("usage_collector.web")

STALLED_SECONDS = 120.0
"""How long a client may take nothing of its answer before it is given up."""


async def send(
    request: web.BaseRequest,
    chunks: Iterator[bytes],
    close: Callable[[], None],
    headers: Mapping[str, str],
    pace: Pace,
) -> web.StreamResponse:
    """Send the chunks, each made in a thread, at that pace, only once the one before was taken.

    An error before the first chunk is raised; one later breaks the connection off, so that the
    client cannot take the rest for the whole. ``close`` is called in any case.
    """

    def make() -> bytes | None:
        with pace.turn():
            return next(chunks, None)

    response = web.StreamResponse(headers=headers)
    try:
        chunk = await asyncio.to_thread(make)
        try:
            await response.prepare(request)
            if request.method == "HEAD":
                return response
            while chunk is not None:
                if chunk:
                    async with asyncio.timeout(STALLED_SECONDS):
                        await response.write(chunk)
                    response[BODY_BYTES] = response.get(BODY_BYTES, 0) + len(chunk)
                chunk = await asyncio.to_thread(make)
            await response.write_eof()
        except Exception as error:
            _break_off(request, error)
    finally:
        await asyncio.to_thread(close)
    return response


def _break_off(request: web.BaseRequest, error: Exception) -> None:
    if isinstance(error, ConnectionError):
        _log.info("the client left before the end of its answer")
    elif isinstance(error, TimeoutError):
        _log.warning("a client took nothing of its answer for %.0f s", STALLED_SECONDS)
    else:
        known = isinstance(error, UsageError)
        _log.error("an answer was broken off: %s", error, exc_info=None if known else error)
    if request.transport is not None:
        request.transport.abort()
