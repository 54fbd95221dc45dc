"""The answer to events that were stored: 201, the same bytes to everybody for a second."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import TYPE_CHECKING

from aiohttp import HttpVersion11, web
from aiohttp.http import SERVER_SOFTWARE

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter


class _Created(web.Response):
    """One for all requests; making an answer for each would take a fifth of the front's time."""

    _second = 0
    _bytes = b""

    @property
    def prepared(self) -> bool:
        """Nothing of it can be changed."""
        return True

    @property
    def keep_alive(self) -> bool:
        """The connection stays open."""
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Send it."""
        writer = request.writer
        await writer.write(self._now(int(time.time())))
        # Who takes no answers is asked for no more requests.
        await writer.drain()
        return writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing comes after it."""

    def _now(self, second: int) -> bytes:
        if second != self._second:
            lines = (
                "HTTP/1.1 201 Created",
                "Content-Length: 0",
                f"Date: {formatdate(second, usegmt=True)}",
                f"Server: {SERVER_SOFTWARE}",
            )
            self._bytes = "".join(f"{line}\r\n" for line in (*lines, "")).encode()
            self._second = second
        return self._bytes


CREATED = _Created(status=201)
"""On a connection that stays open; see `suits`."""


def suits(request: web.BaseRequest) -> bool:
    """Whether `CREATED` is an answer to that request: it asks for HTTP/1.1 and not for the end."""
    return request.keep_alive and request.version == HttpVersion11
