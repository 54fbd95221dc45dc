"""The reporting listener: exports, periods, receipts, keys, metrics."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from usage_collector import export
from usage_collector.errors import InvalidInput
from usage_collector.periods import Period, parse_window, rfc3339
from usage_collector.web import bodies, queries, streaming
from usage_collector.web.room import Room
from usage_collector.web.routing import Parameter, Route
from usage_collector.web.tokens import Access

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from usage_collector.export import Exporter
    from usage_collector.keystore import Keystore
    from usage_collector.ledger import Cut, Ledgers, Limits
    from usage_collector.upkeep import Clock
    from usage_collector.web.metrics import Metrics

_GZIP = "application/gzip"
_JSON = "application/json"
_TYPES = {_GZIP: True, "application/*": True, "*/*": True, "application/x-gzip": True, _JSON: False}


@dataclass(frozen=True, slots=True)
class Reporting:
    """The handlers, and what they need."""

    ledgers: Ledgers
    exporter: Exporter
    keystore: Keystore
    metrics: Metrics
    clock: Clock
    now: Callable[[], int]
    pending: Callable[[], int | None] = int
    early: Callable[[], Mapping[str, int] | None] = dict
    losses: Callable[[], list[dict[str, object]]] = list
    cutting: asyncio.Lock = field(default_factory=asyncio.Lock)
    room: Room = field(default_factory=Room)

    async def get_export(
        self, request: web.BaseRequest, _: Mapping[str, str]
    ) -> web.StreamResponse:
        """A package of positions or of a window."""
        query = queries.only(request, "since", "until", "ledger", "first", "last", "period")
        gzip = accepts_gzip(request.headers.get("Accept"))
        if query.keys() & {"ledger", "first", "last", "period"}:
            package = await asyncio.to_thread(self._positions, query)
        else:
            window = parse_window(query.get("since"), query.get("until"))
            package = await asyncio.to_thread(self.exporter.window, window)
        name = package.name if gzip else package.name.removesuffix(".gz")
        headers = {
            "Content-Type": _GZIP if gzip else _JSON,
            "Content-Disposition": f'attachment; filename="{name}"',
        }
        chunks = package.gzipped() if gzip else package.plain
        return await streaming.send(request, chunks, package.close, headers, self.ledgers.pace)

    def _positions(self, query: dict[str, str]) -> export.Package:
        if query.keys() & {"since", "until"}:
            raise InvalidInput("a window and positions are both given", "ask for one of them")
        period = str(Period.parse(query["period"])) if "period" in query else None
        first, last = queries.position(query, "first"), queries.position(query, "last")
        if first > last:
            raise InvalidInput(f"first {first} is after last {last}", "swap the two")
        return self.exporter.positions(query.get("ledger"), first, last, period)

    async def post_period(self, request: web.BaseRequest, path: Mapping[str, str]) -> web.Response:
        """Fix a period's cut."""
        period = Period.parse(path["period"])
        limits = queries.limits(queries.only(request, "megabytes", "batch_jobs", "realtime_hours"))
        # Waiting here holds no thread, so that others are still answered during a long cut.
        async with self.cutting:
            cut = await asyncio.to_thread(self._cut, period, limits)
        return _json(export.describe_cut(cut))

    def _cut(self, period: Period, limits: Limits) -> Cut:
        return export.cut(self.ledgers, period, limits, self.now(), self.early())

    async def get_periods(self, request: web.BaseRequest, _: Mapping[str, str]) -> web.Response:
        """All ledgers, cuts and receipts."""
        queries.only(request)
        exporter = self.exporter
        # Before the ledgers are: what is settled in between has moved their ends.
        pending = await asyncio.to_thread(self.pending)
        described = await asyncio.to_thread(
            export.describe_periods, self.ledgers, exporter.collector, exporter.zone
        )
        more = {"pending": pending, "losses": self.losses(), "clock": _clock(self.clock)}
        return _json({**described, **more})

    async def post_receipts(
        self, request: web.BaseRequest, path: Mapping[str, str]
    ) -> web.Response:
        """Keep a receipt."""
        queries.only(request)
        period = Period.parse(path["period"])
        with self.room.lease() as lease:
            body = queries.receipt(await bodies.read(request, lease))
            receipt = await asyncio.to_thread(
                export.receive, self.ledgers, period, body.state, body.by, body.files, self.now()
            )
        return _json(export.describe_receipt(receipt), status=201)

    async def put_manifest(self, request: web.BaseRequest, path: Mapping[str, str]) -> web.Response:
        """Keep a period's manifest for the month after."""
        queries.only(request)
        period = Period.parse(path["period"])
        with self.room.lease() as lease:
            body = await bodies.read(request, lease)
            await asyncio.to_thread(export.keep_manifest, self.ledgers, period, body)
        return web.Response(status=204)

    async def get_manifest(self, request: web.BaseRequest, path: Mapping[str, str]) -> web.Response:
        """The manifest that was left here."""
        queries.only(request)
        period = Period.parse(path["period"])
        body = await asyncio.to_thread(export.kept_manifest, self.ledgers, period)
        return web.Response(body=body, content_type=_GZIP)

    async def get_sessions(
        self, request: web.BaseRequest, path: Mapping[str, str]
    ) -> web.StreamResponse:
        """The period's billing identities."""
        queries.only(request)
        lines = export.sessions(self.ledgers, Period.parse(path["period"]))
        headers = {"Content-Type": "application/x-ndjson"}
        return await streaming.send(request, lines, lines.close, headers, self.ledgers.pace)

    async def get_proof_key(self, _: web.BaseRequest, __: Mapping[str, str]) -> web.Response:
        """The public keys."""
        return web.Response(body=self.keystore.proof_keys(), content_type="application/x-pem-file")

    async def get_metrics(self, _: web.BaseRequest, __: Mapping[str, str]) -> web.Response:
        """The metrics."""
        text = await asyncio.to_thread(self.metrics.text, self.ledgers)
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=text, headers=headers)

    def routes(self) -> list[Route]:
        """Everything as a table."""
        window = (
            Parameter("since", "from this time on, inclusive (ISO 8601)"),
            Parameter("until", "up to this time, inclusive"),
            Parameter("ledger", "with positions: which ledger; the live one when left out"),
            Parameter("first", "first position, inclusive"),
            Parameter("last", "last position, inclusive"),
            Parameter("period", "with positions: the period the package says it belongs to"),
        )
        limits = (
            Parameter("megabytes", "MB (10^6 bytes) a file at most; counts the first time"),
            Parameter("batch_jobs", "batch jobs a file at most"),
            Parameter("realtime_hours", "real-time hours a file at most"),
        )
        return [
            Route(
                "GET", "/v1/export", self.get_export, Access.READ,
                "Events as a signed package: of a window of time, or of positions",
                {200: "The package."}, window, content=_GZIP, errors=(400, 401, 403, 404, 409, 413),
            ),
            Route(
                "GET", "/v1/periods", self.get_periods, Access.READ,
                "Ledgers, cuts and receipts", {200: "All of them."}, errors=(400, 401, 403),
            ),
            Route(
                "POST", "/v1/periods/{period}", self.post_period, Access.ADMIN,
                "Fix what belongs to a period; again it answers the same", {200: "The cut."},
                limits, errors=(400, 401, 403, 409, 503),
            ),
            Route(
                "POST", "/v1/periods/{period}/receipts", self.post_receipts, Access.ADMIN,
                "Note that files of a period were delivered", {201: "The receipt, as kept."},
                body="state (exported, sent, acknowledged), by, files: [{name, sha256}]",
                errors=(400, 401, 403, 404, 408, 413, 415, 503),
            ),
            Route(
                "PUT", "/v1/periods/{period}/manifest", self.put_manifest, Access.ADMIN,
                "Keep a period's manifest, gzipped, for the month after", {204: "It is kept."},
                body="the manifest as a gzip file, up to 8 MiB",
                errors=(400, 401, 403, 404, 408, 413, 415, 503),
            ),
            Route(
                "GET", "/v1/periods/{period}/manifest", self.get_manifest, Access.READ,
                "The manifest that was left here", {200: "It, gzipped."},
                content=_GZIP, errors=(400, 401, 403, 404),
            ),
            Route(
                "GET", "/v1/periods/{period}/sessions", self.get_sessions, Access.READ,
                "Billing identities of a cut, sorted, one a line", {200: "The lines."},
                content="application/x-ndjson", errors=(400, 401, 403, 404),
            ),
            Route(
                "GET", "/v1/proof-key", self.get_proof_key, Access.OPEN,
                "Public keys that verify packages, the current one first", {200: "PEM."},
                content="application/x-pem-file",
            ),
            Route(
                "GET", "/metrics", self.get_metrics, Access.OPEN,
                "Metrics for Prometheus", {200: "Text."}, content="text/plain",
            ),
        ]  # fmt: skip


def accepts_gzip(accept: str | None) -> bool:
    """Whether to answer a gzip file (the default) rather than plain JSON.

    Raises:
        InvalidInput: neither is wanted.
    """
    best: tuple[float, bool] | None = None
    for part in (accept or "*/*").split(","):
        kind, *options = (word.strip().lower() for word in part.split(";"))
        quality = next((_quality(o[2:]) for o in options if o.startswith("q=")), 1.0)
        if kind in _TYPES and quality > 0 and (best is None or quality > best[0]):
            best = (quality, _TYPES[kind])
    if best is None:
        raise InvalidInput(
            f"Accept {(accept or '')[:60]!r} is not possible", f"use {_GZIP} or {_JSON}"
        )
    return best[1]


def _clock(clock: Clock) -> dict[str, Any]:
    """Whether the clock can be trusted, and the last jump that was noticed."""
    jump = clock.state.jump
    return {
        "trusted": not clock.state.jumped,
        "jumped_at": rfc3339(jump.at) if jump else None,
        "jumped_seconds": jump.seconds if jump else None,
    }


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type=_JSON)
