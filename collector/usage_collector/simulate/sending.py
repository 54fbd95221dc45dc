"""Posting events as the field's transcribers do: patiently, and with their log lines."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

from usage_collector.errors import InvalidInput

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence

    from usage_collector.simulate.field import Told
    from usage_collector.simulate.tally import Tally

log = logging.getLogger("sentryserver")
PATIENCE = 60.0
"""Seconds for which a post is tried again, also after SIGTERM."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0
_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)
_CREATED = 201


@dataclass(frozen=True, slots=True)
class Line:
    """How to send: to which ingest listeners, over how many connections, in what portions.

    ``rate`` is events a second over all connections, 0 for as fast as possible; with ``reconnect``
    every post opens a connection of its own. Every ``again``-th post (0: none) is sent a second
    time although it was acknowledged, as transcribers do whose answer was lost.
    """

    urls: Sequence[str]
    connections: int = 4
    batch: int = 1
    rate: float = 0.0
    reconnect: bool = False
    tls: ssl.SSLContext | bool = True
    server_name: str | None = None
    again: int = 0
    patience: float = PATIENCE


class Sender:
    """Sends a timeline over several connections at once; `stop` ends it early."""

    def __init__(self, line: Line, events: Iterator[Told], tally: Tally) -> None:
        self._line = line
        self._events = events
        self._tally = tally
        self._stopped = asyncio.Event()
        self._began = time.monotonic()
        self._taken = 0
        self._posts = 0

    def stop(self) -> None:
        """No new events; what is under way is still tried for a while."""
        self._stopped.set()

    async def run(self) -> None:
        """Returns when every event was acknowledged, refused or given up.

        Raises:
            InvalidInput: the certificate is none to trust, from the first post on.
        """
        self._began = time.monotonic()
        await asyncio.gather(*(self._work(n) for n in range(self._line.connections)))
        if self._tally.lost:
            log.warning(
                "Some activity events could not be sent to EATS: count: %d", self._tally.lost
            )

    async def _work(self, number: int) -> None:
        url = self._line.urls[number % len(self._line.urls)]
        connector = aiohttp.TCPConnector(limit=1, force_close=self._line.reconnect)
        async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as client:
            while batch := self._take():
                await self._wait_for_turn()
                await self._send(client, f"{url}/v1/log", batch)

    def _take(self) -> list[Told]:
        batch: list[Told] = []
        while not self._stopped.is_set() and len(batch) < self._line.batch:
            told = next(self._events, None)
            if told is None:
                break
            batch.append(told)
        self._taken += len(batch)
        return batch

    async def _wait_for_turn(self) -> None:
        if not self._line.rate:
            return
        pause = self._began + self._taken / self._line.rate - time.monotonic()
        if pause > 0:
            await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        """Waits, but when stopped only as long as tries need to be apart."""
        if self._stopped.is_set():
            await asyncio.sleep(min(seconds, 1.0))
            return
        try:
            await asyncio.wait_for(self._stopped.wait(), seconds)
        except TimeoutError:
            return

    async def _send(self, client: aiohttp.ClientSession, url: str, batch: list[Told]) -> None:
        raws = [told.raw for told in batch]
        body = raws[0] if self._line.batch == 1 else b"[%s]" % b",".join(raws)
        give_up = time.monotonic() + self._line.patience
        pause = _FIRST_PAUSE
        while True:
            problem = await self._post(client, url, body)
            if problem is None:
                self._tally.acknowledged(batch)
                log.info("Transcription usage registered with EATS")
                await self._post_again(client, url, body)
                return
            if problem.startswith("refused"):
                self._tally.refused += len(batch)
                log.error("Error 'Post \"%s\": %s' occurred when logging EATS data", url, problem)
                return
            if time.monotonic() + pause >= give_up:
                self._tally.lost += len(batch)
                return
            log.error(
                "Error 'Post \"%s\": %s' occurred when logging EATS data: retrying", url, problem
            )
            self._tally.retries += 1
            await self._pause(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _post_again(self, client: aiohttp.ClientSession, url: str, body: bytes) -> None:
        self._posts += 1
        if self._line.again and self._posts % self._line.again == 0:
            await self._post(client, url, body)

    async def _post(self, client: aiohttp.ClientSession, url: str, body: bytes) -> str | None:
        """One attempt: None when acknowledged, else what went wrong."""
        try:
            async with client.post(
                url,
                data=body,
                headers={"Content-Type": "application/json", "User-Agent": "Go-http-client/1.1"},
                ssl=self._line.tls,
                server_hostname=self._line.server_name,
            ) as response:
                if response.status == _CREATED:
                    return None
                text = (await response.text())[:200]
                final = 400 <= response.status < 500 and response.status not in (408, 429)
                return f"{'refused' if final else 'answered'} {response.status} {text}"
        except aiohttp.ClientConnectorCertificateError as error:
            if not self._tally.events:
                raise InvalidInput(
                    f"{url}: {error.certificate_error}",
                    "give its CA with --ca-file, its name with --server-name, or --insecure",
                ) from error
            return str(error)
        except aiohttp.ClientConnectorError as error:
            # Its own text has the address once more, and that of an object in memory.
            return str(error.os_error)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return str(error) or type(error).__name__
