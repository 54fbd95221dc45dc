"""The listener for other vendors' notifications, and what becomes of them."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from usage_collector import ingest
from usage_collector.errors import StorageUnavailable, TooLarge, TooSlow
from usage_collector.keystore import Pair
from usage_collector.pending import Desk, Finder
from usage_collector.usage import Kind, Trouble
from usage_collector.usage.knowing import counted
from usage_collector.vendors.assemblyai.notices import Notice
from usage_collector.vendors.assemblyai.transcripts import Transcripts
from usage_collector.vendors.headers import Headers
from usage_collector.web import bodies, health, openapi, queries, tls
from usage_collector.web.listener import Listener
from usage_collector.web.room import Room
from usage_collector.web.routing import Parameter, Route, Router
from usage_collector.web.tokens import Access
from usage_collector.words import many

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from usage_collector.web.gate import Gate
    from usage_collector.web.serving import Parts

MAX_BYTES = 64 * 1024
"""Of a notification; those that are known have less than 200."""
ANSWER_SECONDS = 8.0
"""AssemblyAI takes no answer within 10 s for none."""


class Webhooks:
    """All of it; nothing listens without a headers file, and then only what is pending is asked."""

    def __init__(self, parts: Parts, gate: Gate) -> None:
        settings = parts.settings
        self._parts = parts
        self._gate = gate
        self._room = Room()
        self._headers: Headers | None = None
        self._desk: Desk | None = None
        self._listener: Listener | None = None
        if settings.webhooks_headers_file:
            self._headers = Headers(settings.webhooks_headers_file)
            served = [*self._routes(), *health.routes(parts.ledgers, lambda: self.draining)]
            described = openapi.route(
                served, "Usage collector: webhooks", version("usage-operator")
            )
            self._listener = Listener(
                "webhooks",
                Router([*served, described]),
                None,
                parts.metrics.count_request,
                requests=settings.keepalive_requests,
                seconds=settings.keepalive_seconds,
            )
        if self._headers or Finder.is_needed(settings.data_dir):
            finder = Finder(settings.data_dir, parts.ledgers)
            transcripts = Transcripts(settings.assemblyai_url, settings.assemblyai_key_file)
            known = partial(counted, parts.fleet)
            self._desk = Desk(finder, transcripts, self._store, parts.clock.now, known)
            parts.fleet.feeder.also = self.troubles
        desk = self._desk
        parts.metrics.watch_pending(
            lambda: desk.number() if desk else 0, lambda: desk.stuck() if desk else 0
        )

    @property
    def draining(self) -> bool:
        """Whether connections are led elsewhere."""
        return self._gate.closed or (self._listener is not None and self._listener.draining)

    def drain(self) -> None:
        """Lead connections elsewhere."""
        if self._listener:
            self._listener.draining = True

    async def start(self) -> None:
        """Listen, where that is wanted."""
        if self._listener:
            settings = self._parts.settings
            await self._listener.start(settings.host, settings.webhooks_port, self.context())

    async def stop(self) -> None:
        """Take no more notifications, and finish those under way."""
        if self._listener:
            await self._listener.stop()

    async def run(self) -> None:
        """Ask for what is pending, until cancelled."""
        if self._desk:
            await self._desk.run()

    def refresh(self) -> None:
        """Take over changed headers."""
        if self._headers:
            self._headers.refresh()

    def context(self) -> ssl.SSLContext | None:
        """TLS of the listener, from the certificate that is there now; None: it does not listen.

        While the one that was given is not there yet, the other listeners' serves: it may be
        issued any time, and events need not wait for it.
        """
        if self._listener is None:
            return None
        settings = self._parts.settings
        certificate, key = settings.webhooks_tls_cert_file, settings.webhooks_tls_key_file
        if certificate and key and certificate.exists():
            return tls.context(Pair(certificate, key), None)
        return tls.context(self._parts.pair, None)

    def use(self, context: ssl.SSLContext) -> None:
        """Take new connections with that context."""
        if self._listener:
            self._listener.use(context)

    def pending(self) -> int | None:
        """How many transcripts this collector still asks for; None: it is finding out."""
        return self._desk.count() if self._desk else 0

    def troubles(self) -> list[Trouble]:
        """What is not known of this collector's usage for its being pending."""
        found = self._desk.summary() if self._desk else None
        if found is None:
            return []
        number, since, problem = found
        why = many(number, "AssemblyAI transcript is pending", "AssemblyAI transcripts are pending")
        return [Trouble(f"{why}: {problem}" if problem else why, since, kind=Kind.PENDING)]

    def reporting_routes(self) -> list[Route]:
        """``GET /v1/webhooks/pending``, of the reporting listener."""

        async def pending(request: web.BaseRequest, _: Mapping[str, str]) -> web.Response:
            queries.only(request)
            lines = self._desk.lines() if self._desk else []
            body = msgspec.json.encode({"pending": lines})
            return web.Response(body=body, content_type="application/json")

        return [
            Route(
                "GET", "/v1/webhooks/pending", pending, Access.READ,
                "Transcripts of other vendors whose duration this collector does not know yet",
                {200: "The oldest first, each with what is in the way."}, errors=(400, 401, 403),
            )
        ]  # fmt: skip

    async def _store(self, raw: bytes) -> None:
        await ingest.accept(self._parts.ledgers, raw, self._parts.metrics.count_event)

    async def _read(self, request: web.BaseRequest) -> bytes:
        if (request.content_length or 0) > MAX_BYTES:
            raise TooLarge(f"the notification has more than {MAX_BYTES} bytes", "send only that")
        with self._room.lease() as lease:
            try:
                body = await bodies.read(request, lease)
            except TooSlow as error:
                # A 4xx would be the last that is heard of it.
                raise StorageUnavailable(error.detail, error.hint) from None
        if len(body) > MAX_BYTES:
            raise TooLarge(f"the notification has more than {MAX_BYTES} bytes", "send only that")
        return body

    async def _notified(self, request: web.BaseRequest, _: Mapping[str, str]) -> web.Response:
        assert self._headers  # noqa: S101
        assert self._desk  # noqa: S101
        self._headers.check(lambda name: request.headers.getall(name, []))
        notice = Notice.read(await self._read(request), request.rel_url.raw_query_string)
        if notice is not None:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    with self._gate:
                        await self._store(notice.event)
            except TimeoutError:
                raise StorageUnavailable(
                    f"it was not durable within {ANSWER_SECONDS:.0f} s", "send it again"
                ) from None
            self._desk.wake()
        return web.Response(status=201)

    def _routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/v1/webhooks/assemblyai",
                self._notified,
                Access.OPEN,
                "Take a notification of AssemblyAI; its transcript counts once its length is known",
                {201: "The notification is durable, or says nothing of usage."},
                (
                    Parameter("customer_id", "whose transcript it is"),
                    Parameter("contract_id", "under which contract"),
                    Parameter("project_id", "as any further parameter: kept as a dimension"),
                ),
                body="What AssemblyAI sends, at most 64 KiB, with the header that is set here.",
                schema={
                    "type": "object",
                    "required": ["transcript_id", "status"],
                    "properties": {
                        "transcript_id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
                        "status": {"type": "string", "minLength": 1, "maxLength": 64},
                    },
                },
                errors=(400, 401, 413, 415, 503),
            )
        ]
