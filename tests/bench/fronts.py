"""What the collector is compared with: `python -m tests.bench.fronts postgres|noop PORT ...`.

``postgres`` is the collector's own ingest listener with PostgreSQL behind it in place of the
ledger: the same parsing, and group commit as well. ``noop`` is aiohttp with uvloop that reads a
body and says 201: what the front costs before anything is done.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg  # type: ignore[import-untyped]
import uvloop
from aiohttp import web

from usage_collector.web import ingest_routes
from usage_collector.web.gate import Gate
from usage_collector.web.listener import Listener
from usage_collector.web.metrics import Metrics
from usage_collector.web.routing import Router

if TYPE_CHECKING:
    from collections.abc import Sequence

    from usage_collector.events import Event

_MAX_GROUP = 2000
_TABLE = """
CREATE TABLE events(
  position bigint PRIMARY KEY, id bytea NOT NULL UNIQUE, received bigint NOT NULL,
  raw bytea NOT NULL)
"""
_INSERT = """
INSERT INTO events SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bytea[])
ON CONFLICT (id) DO NOTHING RETURNING position
"""


class Postgres:
    """Stores events as the ledger's writer does: all that wait in one transaction.

    What it leaves out (the chain, positions without a gap, compression) is in its favour.
    """

    def __init__(self, connection: Any) -> None:
        self.writer = self
        self._connection = connection
        self._position = 0
        self._waiting: list[tuple[Sequence[Event], asyncio.Future[list[bool]]]] = []
        self._wake = asyncio.Event()

    def append(self, events: Sequence[Event]) -> asyncio.Future[list[bool]]:
        """As `Writer.append`."""
        future: asyncio.Future[list[bool]] = asyncio.get_running_loop().create_future()
        self._waiting.append((events, future))
        self._wake.set()
        return future

    async def run(self) -> None:
        """Commit groups, for ever."""
        while True:
            await self._wake.wait()
            group: list[tuple[Sequence[Event], asyncio.Future[list[bool]]]] = []
            size = 0
            while self._waiting and size < _MAX_GROUP:
                group.append(self._waiting.pop(0))
                size += len(group[-1][0])
            if not self._waiting:
                self._wake.clear()
            await self._commit(group)

    async def _commit(
        self, group: list[tuple[Sequence[Event], asyncio.Future[list[bool]]]]
    ) -> None:
        events = [event for some, _ in group for event in some]
        first = self._position + 1
        self._position += len(events)
        rows = await self._connection.fetch(
            _INSERT,
            list(range(first, first + len(events))),
            [event.short_id for event in events],
            [time.time_ns() // 1000] * len(events),
            [event.raw for event in events],
        )
        stored = {row[0] for row in rows}
        position = first
        for some, future in group:
            future.set_result([p in stored for p in range(position, position + len(some))])
            position += len(some)


async def postgres(port: int, tls: ssl.SSLContext, socket: str) -> None:
    """Serve with PostgreSQL behind; ``socket`` is the folder of its socket."""
    connection = await asyncpg.connect(host=socket, user="postgres", database="postgres")
    await connection.execute(_TABLE)
    store = Postgres(connection)
    metrics = Metrics("0", "bench", "z", 90)
    routes = ingest_routes.routes(store, metrics.count_event, Gate())  # type: ignore[arg-type]
    listener = Listener(
        "ingest", Router(routes), None, metrics.count_request, requests=1000, part=1
    )
    await listener.start("127.0.0.1", port, tls)
    await store.run()


async def noop(port: int, tls: ssl.SSLContext) -> None:
    """Serve, and do nothing."""

    async def handle(request: web.BaseRequest) -> web.Response:
        await request.read()
        return web.Response(status=201)

    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
    await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    what, port, keys, *rest = sys.argv[1:]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(Path(keys) / "tls.crt", Path(keys) / "tls.key")
    uvloop.run(postgres(int(port), tls, *rest) if what == "postgres" else noop(int(port), tls))


if __name__ == "__main__":
    main()
