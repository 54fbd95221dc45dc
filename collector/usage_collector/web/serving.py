"""A collector's life: its parts put together, served, kept up to date, and ended in order."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from usage_collector import files
from usage_collector.errors import InvalidInput, StorageUnavailable, UsageError
from usage_collector.export import Exporter
from usage_collector.keystore import Keystore, Pair, expiry
from usage_collector.ledger import Ledgers
from usage_collector.notes import Notes
from usage_collector.upkeep import Clock, Purger, host, scrub
from usage_collector.usage import Fleet
from usage_collector.web import (
    health,
    ingest_routes,
    note_routes,
    openapi,
    overview_routes,
    page,
    tls,
    usage_routes,
)
from usage_collector.web.customer_routes import Customers
from usage_collector.web.gate import Gate
from usage_collector.web.listener import Listener
from usage_collector.web.metrics import Metrics
from usage_collector.web.rates import Rates
from usage_collector.web.reporting_routes import Reporting
from usage_collector.web.restore_routes import Restoring
from usage_collector.web.routing import Router
from usage_collector.web.standing_routes import Standing
from usage_collector.web.starting import told
from usage_collector.web.tokens import Guard
from usage_collector.web.webhooks import Webhooks
from usage_collector.words import many

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from usage_collector.settings import Settings

_log = logging.getLogger("usage_collector.web")

REFRESH_SECONDS = 2.0
"""How often files that others change are looked at."""
PURGE_SECONDS = 60.0
SCRUB_SECONDS = 86_400.0
"""Between the end of one background check and the begin of the next."""
SCRUB_REST = 9.0
"""How many times as long as each of its steps it rests."""
_SCRATCH = "tmp"
THREADS = 32
"""For what reads: more than that many long exports at once make others wait."""


def now() -> int:
    """The time, in µs since the Unix epoch."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Parts:
    """What a collector is made of, before it listens."""

    settings: Settings
    clock: Clock
    ledgers: Ledgers
    keystore: Keystore
    guard: Guard
    metrics: Metrics
    fleet: Fleet

    @property
    def pair(self) -> Pair:
        """The certificate in use, given or made."""
        given, key = self.settings.tls_cert_file, self.settings.tls_key_file
        if given is not None and key is not None:
            return Pair(given, key)
        return self.keystore.certificate(self.settings.name, datetime.now(UTC))

    def contexts(self) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
        """TLS of the ingest and of the reporting listener."""
        settings = self.settings
        if not (settings.eats_secure or settings.pandas_secure):
            return None, None
        pair = self.pair
        ingest = tls.context(pair, settings.client_ca_file) if settings.eats_secure else None
        reporting = tls.context(pair, None) if settings.pandas_secure else None
        self.metrics.set_expiry(expiry(pair.certificate).timestamp())
        return ingest, reporting


def claim(folder: Path) -> None:
    """Take the data folder for this process, until it ends.

    Raises:
        StorageUnavailable: its volume is read-only; to be tried again.
        UsageError: it cannot be used, and why.
    """
    try:
        with told("taking the data folder"):
            files.make_folder(folder)
            files.make_folder(folder / _SCRATCH)
            files.lock(folder / "lock")
    except OSError as error:
        # Where there is no folder a volume was forgotten, and nothing comes back.
        if error.errno == errno.EROFS and folder.is_dir():
            raise StorageUnavailable(
                f"USAGE_DATA_DIR {folder} is on a read-only file system",
                "look at the volume, its mount options and its node's kernel log",
            ) from None
        raise InvalidInput(
            f"USAGE_DATA_DIR {folder} cannot be used: {error.strerror}",
            "give a folder that this user may write to",
        ) from None


def assemble(settings: Settings) -> Parts:
    """Open everything in the data folder, which was claimed; keys are on the disk on return.

    Raises:
        UsageError: what cannot be used, and why.
    """
    folder = settings.data_dir
    # SQLite sorts large results in files; the usual places may be read-only in a container.
    os.environ.setdefault("SQLITE_TMPDIR", str(folder / _SCRATCH))
    # numpy, which comes with the first question, would put this there and take it away again. The
    # process would crash if another thread read the environment then, to look up an address, say.
    os.environ.setdefault("OPENBLAS_MAIN_FREE", "1")
    metrics = Metrics(
        version("usage-operator"), settings.name, settings.zone, settings.retention_days
    )
    with told("reading keys, tokens and the clock's file"):
        keystore = Keystore(folder / "keys", settings.signing_key_file, settings.proof_key_file)
        guard = Guard(settings.tokens_file)
        clock = Clock(folder / "clock.json", host)
    with told("opening the ledgers"):
        ledgers = Ledgers(
            folder,
            settings.name,
            settings.zone,
            clock.now,
            reserve=settings.reserve_mb * 10**6,
            observe=metrics.observe_commit,
        )
    with told("opening the index of usage by day"):
        fleet = Fleet(settings, ledgers, clock.now)
    return Parts(settings, clock, ledgers, keystore, guard, metrics, fleet)


class Collector:
    """The listeners and what goes on beside them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        settings, ledgers, metrics = parts.settings, parts.ledgers, parts.metrics
        exporter = Exporter(ledgers, settings.name, settings.zone, parts.keystore.keys)
        gate = Gate()
        self._webhooks = Webhooks(parts, gate)
        reporting = Reporting(
            *(ledgers, exporter, parts.keystore, metrics, parts.clock, now),
            *(self._webhooks.pending, parts.fleet.early, parts.fleet.losses),
        )
        metrics.watch_usage(parts.fleet.figures(), parts.fleet.at_quota, parts.fleet.days)
        self._rates = Rates(0, 0)
        self._limit()
        healthy = health.routes(ledgers, lambda: self._draining)
        restoring = Restoring(ledgers, now)
        notes = Notes(settings.data_dir)
        described = [
            *reporting.routes(),
            *usage_routes.routes(parts.fleet),
            *overview_routes.routes(parts.fleet),
            *page.routes(),
            *note_routes.routes(notes, ledgers, settings.name),
            *Standing(settings, ledgers, notes, parts.fleet).routes(),
            *Customers(parts.fleet).routes(),
            *restoring.routes(),
            *gate.routes(),
            *self._webhooks.reporting_routes(),
            *healthy,
        ]
        received = [
            *ingest_routes.routes(ledgers, metrics.count_event, gate),
            *health.routes(ledgers, lambda: self._draining or gate.closed),
        ]
        build = version("usage-operator")
        self._draining = False
        self._ingest = Listener(
            "ingest",
            Router([*received, openapi.route(received, "Usage collector: ingest", build)]),
            None,
            metrics.count_request,
            requests=settings.keepalive_requests,
            seconds=settings.keepalive_seconds,
            part=1,
        )
        self._reporting = Listener(
            "reporting",
            Router([*described, openapi.route(described, "Usage collector: reporting", build)]),
            parts.guard,
            metrics.count_request,
            rates=self._rates,
        )
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain and end; a second signal ends the drain."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(THREADS, "work"))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        settings = self._parts.settings
        with told("reading certificates"):
            ingest, reporting = self._parts.contexts()
        await self._ingest.start(settings.host, settings.eats_port, ingest)
        await self._reporting.start(settings.host, settings.pandas_port, reporting)
        await self._webhooks.start()
        works = (
            self._refresh(),
            self._purge(),
            self._scrub(),
            self._parts.fleet.run(),
            self._webhooks.run(),
        )
        beside = [asyncio.create_task(work) for work in works]
        await self._stop.wait()
        await self._drain(settings.drain_seconds)
        for task in beside:
            task.cancel()
        await asyncio.gather(self._ingest.stop(), self._reporting.stop(), self._webhooks.stop())
        # A thread of its own: the others may still be busy with what nobody waits for any more.
        with ThreadPoolExecutor(1) as closing:
            await loop.run_in_executor(closing, self._parts.ledgers.close)
        _log.info("ended")

    def _signalled(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _drain(self, seconds: float) -> None:
        self._draining = self._ingest.draining = self._reporting.draining = True
        self._webhooks.drain()
        _log.info("ending; draining for %.0f s", seconds)
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            return

    async def _refresh(self) -> None:
        settings = self._parts.settings
        given: list[Path | None] = [
            settings.tls_cert_file, settings.tls_key_file, settings.client_ca_file,
            settings.webhooks_tls_cert_file, settings.webhooks_tls_key_file,
        ]  # fmt: skip
        stamp, trouble = files.fingerprint(given), ""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            _attempt(self._parts.guard.refresh)
            _attempt(self._parts.keystore.refresh)
            _attempt(self._webhooks.refresh)
            _attempt(self._limit)
            if (changed := files.fingerprint(given)) != stamp:
                # Until it can be done: they may not change again before the old one is over.
                trouble = self._change_certificates(trouble)
                stamp = stamp if trouble else changed

    def _limit(self) -> None:
        """Take over the limits of a file that changed, and of the settings what it leaves out."""
        settings, given = self._parts.settings, self._parts.fleet.limits_file
        try:
            given.refresh()
        finally:
            gets, posts = given.policy.gets_per_second, given.policy.posts_per_second
            self._rates.use(
                settings.gets_per_second if gets is None else gets,
                settings.posts_per_second if posts is None else posts,
            )

    def _change_certificates(self, trouble: str) -> str:
        """What is in the way, if anything; logged unless it is the same as before."""
        try:
            ingest, reporting = self._parts.contexts()
            webhooks = self._webhooks.context()
            if ingest:
                self._ingest.use(ingest)
            if reporting:
                self._reporting.use(reporting)
            if webhooks:
                self._webhooks.use(webhooks)
        except (UsageError, ValueError, OSError) as error:
            if str(error) != trouble:
                _log.error("the old certificate stays in use: %s", error)
            return str(error)
        _log.info("certificates were read again")
        return ""

    async def _purge(self) -> None:
        parts, settings = self._parts, self._parts.settings
        purger = Purger(
            parts.ledgers,
            settings.retention_days,
            hold=settings.hold_unexported,
            counted=parts.fleet.feeder.counted_to,
        )
        while True:
            parts.metrics.set_clock(parts.clock.jumps, parts.clock.state.wait)
            await asyncio.sleep(PURGE_SECONDS)
            try:
                if await asyncio.to_thread(parts.clock.look):
                    await asyncio.to_thread(purger.run, parts.clock.now())
            except UsageError as error:
                _log.error("nothing was purged: %s", error)
            except Exception:
                # Whatever it is: one that purged no more would fill its volume in silence.
                _log.exception("nothing was purged")

    async def _scrub(self) -> None:
        while True:
            try:
                await self._check_all()
            except Exception:
                # Likewise: the next one may get to the end.
                _log.exception("the background check ended early")
            await asyncio.sleep(SCRUB_SECONDS)

    async def _check_all(self) -> None:
        metrics = self._parts.metrics
        steps = scrub(self._parts.ledgers)
        events = 0
        began = time.monotonic()
        while (found := await asyncio.to_thread(next, steps, None)) is not None:
            events += found
            metrics.set_checked(events)
            await asyncio.sleep(SCRUB_REST * (time.monotonic() - began))
            began = time.monotonic()
        metrics.set_checked(events, ended=time.time())
        _log.info("background check: %s as stored", many(events, "event"))


def _attempt(refresh: Callable[[], None]) -> None:
    try:
        refresh()
    except (UsageError, OSError) as error:
        _log.error("what was read before stays in use: %s", error)
