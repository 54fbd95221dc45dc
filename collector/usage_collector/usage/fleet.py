"""Usage of the whole fleet at one collector: kept up to date, and answered from.

Beside the answer stands what may be missing from it, by collector: an index that is behind, a
ledger that cannot be read, a collector that does not answer. Nothing of that is ever left unsaid.
"""

from __future__ import annotations

import asyncio
import logging
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from usage_collector.errors import StorageUnavailable, UsageError
from usage_collector.periods import Period, moment, rfc3339
from usage_collector.usage import (
    answering,
    billing,
    coverage,
    exchange,
    grouping,
    latest,
    losses,
    quotas,
    series,
)
from usage_collector.usage.alerting import WHATS, Alerting, due, responsible
from usage_collector.usage.asking import FIRST_DAY, Query, number, text
from usage_collector.usage.coverage import Source, Trouble
from usage_collector.usage.feeding import Feeder
from usage_collector.usage.members import Members
from usage_collector.usage.missing import Missing, lacking
from usage_collector.usage.policy import PolicyFile
from usage_collector.usage.registry import Registry
from usage_collector.usage.states import DAY
from usage_collector.usage.store import Store
from usage_collector.usage.told import Book

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from usage_collector.ledger import Ledgers
    from usage_collector.settings import Settings
    from usage_collector.usage.billing import Line
    from usage_collector.usage.customers import Customer, Details, Register
    from usage_collector.usage.exchange import Known

_log = logging.getLogger(__name__)

FEED_SECONDS = 1.0
SEAL_SECONDS = 60.0
"""How often days that are over are summed up, so that answers read them at once."""
EXCHANGE_SECONDS = 5.0
"""How often other collectors are asked; what they received is in answers here after that."""
ALERT_SECONDS = 10.0
"""How often it is looked which quotas are reached."""
WARNED, EXCEEDED = 0.8, 1.0
"""Parts of quotas that have metrics of their own, whatever thresholds there are."""
THREADS = 8
LAG = 10_000_000
"""How long (µs) an event may take until it is counted before that is told."""
WAIT_SECONDS = 2.0
"""How long an answer waits for events to be counted that this collector received before."""


class Fleet:
    """The day index of a collector, its feeding, and its exchange with the others."""

    def __init__(self, settings: Settings, ledgers: Ledgers, now: Callable[[], int]) -> None:
        self.store = _store(settings.data_dir, ledgers)
        self.feeder = Feeder(ledgers, self.store, settings.name, settings.zone)
        self.registry = Registry(settings.data_dir, settings.name, now)
        self.limits_file = PolicyFile(settings.limits_file)
        book = Book(settings.data_dir)
        self._alerting = Alerting(book, self.limits_file, settings.name, now)
        self._exchange = exchange.Exchange(self.store, self.registry, book, now)
        self._began = now()
        self._ledgers = ledgers
        self._settings = settings
        self._now = now
        self.members = Members(settings, self._exchange.list)
        self._threads = ThreadPoolExecutor(THREADS, "usage")

    async def run(self) -> None:
        """Keep the index up to date until cancelled."""
        try:
            await asyncio.gather(
                self._repeat(self._feed, FEED_SECONDS),
                self._repeat(self._seal, SEAL_SECONDS),
                self._repeat(self._ask, EXCHANGE_SECONDS),
                self._repeat(self._alert, ALERT_SECONDS),
            )
        finally:
            self._alerting.stop()
            self.feeder.stop()

    def answer(self, query: Query) -> tuple[dict[str, object], list[Missing]]:
        """The usage asked for, and what is missing from it.

        Raises:
            InvalidInput: there is no such customer.
        """
        register = self.registry.register
        if query.customer is not None:
            query = replace(query, customer=register.asked(query.customer).id)
        missing = self._missing(query)
        answered = answering.answer(self.store, query, register)
        first = None if answered["summary"] is None else number(str(answered["since"]))
        return answered, missing + self._before(query, first)

    def early(self) -> dict[str, int] | None:
        """Events that came here before the time that they say, by day of their receipt.

        None where not all that is stored was looked at, even after waiting a little, or where the
        index cannot be read: a month is cut without it.
        """
        began = self._now()
        try:
            self.feeder.catch_up(began, WAIT_SECONDS)
            if not self.feeder.is_complete(began):
                return None
            return {text(day): count for day, count in self.feeder.early().items()}
        except UsageError as error:
            _log.error("events from the future are not known: %s", error)
            return None

    def losses(self) -> list[Line]:
        """Collectors that lost what they held, as far as any collector remembers."""
        return [loss.line for loss in self._exchange.losses]

    def unknown_customers(self, register: Register) -> tuple[list[Line], list[Missing]]:
        """Customers in events that are not in that register, and what is missing from the list."""
        query = Query(None, self.today)
        missing = self._missing(query)
        return billing.unknown(self.store, query, register), missing

    def customer_usage(
        self, query: Query, only: str | None
    ) -> tuple[dict[str, list[Line]], list[Missing]]:
        """Usage by customer and month, of one customer where one is named.

        Beside it stand the formats that nobody knows, where there are any.

        Raises:
            InvalidInput: there is no such customer.
        """
        register = self.registry.register
        if only is not None:
            only = register.asked(only).id
        missing = self._missing(query)
        first, lines = billing.monthly(self.store, query, register, only)
        found = {"usage": lines}
        missing += self._before(query, first if lines else None)
        if others := billing.other_formats(self.store, query, register, only):
            found["other_formats"] = others
        return found, missing

    def limits(self) -> tuple[list[Line], list[Missing]]:
        """Usage against quotas, today's too; see `quotas.lines`."""
        missing = self._missing(quotas.days(self._now()))
        month = Period.of(moment(self._now())).start // DAY
        missing += self._before(Query(month, self.today), month)
        return self._quotas(), missing

    def alerts(self) -> dict[str, object]:
        """Alerts that were sent, and how many wait, as this collector knows."""
        book = self._alerting.book
        sent = sorted(book.told.values(), key=lambda one: one.at)
        lines = [{**msgspec.structs.asdict(one.alert), "sent": rfc3339(one.at)} for one in sent]
        return {"sent": lines, "waiting": len(book.waiting)}

    def put_customer(self, id_: str, details: Details) -> Customer:
        """Register or change a customer; see `Registry.put`.

        Raises:
            InvalidInput: there is no such plan.
        """
        self.limits_file.policy.check_plan(details.plan)
        return self.registry.put(id_, details)

    def covered(self, query: Query) -> dict[str, object]:
        """How much of each day is known, by zone; see `coverage.days`."""
        first = max(query.until - 29, FIRST_DAY) if query.since is None else query.since
        lines = self._covered(first, query.until)
        return {"since": text(first), "until": text(query.until), "days": lines}

    def days(self) -> dict[str, list[dict[str, object]]]:
        """The lines of today and yesterday, under these names."""
        today = self.today
        days = {"today": today, "yesterday": today - 1}
        return {name: self._covered(day, day) for name, day in days.items()}

    def _covered(self, first: int, last: int) -> list[dict[str, object]]:
        with self.store.reading() as connection:
            asked = Query(first, last)
            counts = grouping.grouped(connection, self.store, asked, ("day", "zone"))
        heard = self._exchange.heard()
        return coverage.days(self.sources(), counts, first, last, self._now(), heard)

    def series(self, query: Query, by: str, top: int) -> tuple[dict[str, Any], list[Missing]]:
        """Usage by day in columns, and what is missing from it; see `series.answer`."""
        missing = self._missing(query)
        answered = series.answer(self.store, query, by, top, self.registry.register)
        return answered, missing + self._before(query, query.since)

    def latest(self, count: int) -> tuple[list[Line], list[Missing]]:
        """The jobs and sessions learnt of last; see `latest.latest`."""
        now = self._now()
        missing = self._missing(Query(self.today, self.today))
        return latest.latest(self.store, count, self.registry.register, now), missing

    def news(self, epoch: str, after: int, *, everything: bool, register: str) -> bytes:
        """What another collector asks for; see `exchange.news`, and `registry.Registry.news`."""
        # Before what is told, so that it is not said to be all when it was not yet.
        troubles, own = self.feeder.troubles(self._now() - LAG), self.store.epoch
        seq, more, states = exchange.news(self.store, epoch, after, everything=everything)
        return exchange.encode(
            exchange.News(
                collector=self._settings.name,
                zone=self._settings.zone,
                epoch=own,
                seq=seq,
                more=more,
                troubles=troubles,
                early=self.feeder.early(),
                states=states,
                customers=self.registry.news(register[: exchange.DIGEST]),
                told=self._alerting.book.news(register[exchange.DIGEST :]),
                began=self.feeder.began(),
                losses=self._exchange.losses,
            )
        )

    def figures(self) -> dict[str, Callable[[], float]]:
        """What is watched of it, by the name of the metric."""
        return {
            "uncounted": self.feeder.behind,
            "missing": lambda: sum(
                any(trouble.until is None for trouble in one.troubles) for one in self.sources()
            ),
            "early": lambda: sum(self.feeder.early().values()),
            "alerts": lambda: len(self._alerting.book.waiting),
            "heard": lambda: self._lost()[0],
            "lost": lambda: self._lost()[1],
        }

    def _lost(self) -> tuple[float, float]:
        """See `losses.pending` (s since the Unix epoch); 0: nothing, not a number: not known."""
        known, name, cuts = self._exchange.losses, self._settings.name, self._ledgers.cuts
        try:
            found = losses.pending(known, name, self.feeder.began(), cuts.all(), cuts.manifest)
        except (UsageError, OSError):
            return math.nan, math.nan
        heard, anew = found or (0, 0)
        return heard / 1e6, anew / 1e6

    def at_quota(self) -> dict[tuple[str, float], float]:
        """How many customers reached which part of which quota, today's usage too."""
        lines = self._quotas()
        parts = (*self.limits_file.policy.parts, WARNED, EXCEEDED)
        found: dict[tuple[str, float], float] = {
            (what, part): 0 for what in WHATS for part in parts
        }
        for alert, _ in due(lines, sorted({*parts})):
            found[alert.what, alert.threshold] += 1
        return found

    def _quotas(self) -> list[Line]:
        policy = self.limits_file.policy
        return quotas.lines(self.store, self.registry.register, policy, self._now())

    def sources(self, needed: int | None = None) -> list[Source]:
        """All collectors that should exist, with what is not known of each.

        Our own events up to ``needed`` (µs; all but the last few seconds') must be counted.
        """
        now = self._now()
        needed = now - LAG if needed is None else needed
        name, zone = self._settings.name, self._settings.zone
        feeder = self.feeder
        found = [Source(name, zone, feeder.troubles(needed), feeder.early(), feeder.began())]
        if self.members.problem:
            found.append(Source("unknown", "", [Trouble(self.members.problem)], {}))
        found += [one.source(now) for one in self._others()]
        return self._exchange.remembered(found)

    def others(self) -> dict[str, str]:
        """What the other collectors that should exist are called, by their addresses."""
        return {one.url: one.name for one in self._others()}

    def _others(self) -> list[Known]:
        others = [url for url in self.members.peers if not self._exchange.is_self(url)]
        return [self._exchange.known(url) for url in others]

    def _missing(self, query: Query) -> list[Missing]:
        """What may be missing from these days, after waiting a little for what is under way."""
        began = self._now()
        self.feeder.catch_up(began, WAIT_SECONDS)
        return lacking(query, self.sources(began))

    def _before(self, query: Query, first: int | None) -> list[Missing]:
        """That nobody was there in the beginning of these days: then none is no usage.

        Where no beginning was asked for they begin on the ``first`` day of usage, None: there is
        none. That day may be the one on which the first collector began; one before it has only
        what came late.
        """
        oldest = coverage.first([*self.sources(), *self._exchange.heard()])
        if oldest is None or oldest.began is None:
            return []
        if query.since is None and first is not None:
            known = oldest.began // DAY <= first
        else:
            known = oldest.began <= (query.until if query.since is None else query.since) * DAY
        return [] if known else [Missing.of(oldest, coverage.before(oldest))]

    @property
    def is_listed(self) -> bool:
        """Whether it is known by now who the others are."""
        return self.members.is_known

    @property
    def today(self) -> int:
        """The present day (UTC) since the Unix epoch."""
        return self._now() // DAY

    def close(self) -> None:
        """Give everything back."""
        self.store.close()
        self.members.close()

    async def _feed(self) -> None:
        await self._work(self._renew)
        await self._work(self.feeder.run, self._now())
        await self._work(self.store.settle, self._now())

    async def _seal(self) -> None:
        await self._work(self.store.seal, self.today)

    async def _ask(self) -> None:
        await self._work(self.members.refresh)
        asking = [self._work(self._exchange.ask, peer) for peer in self.members.peers.values()]
        await asyncio.gather(*asking)

    async def _alert(self) -> None:
        # Who the others are has to be known first.
        if not self.limits_file.hooks or not self.is_listed:
            return
        if responsible(self._settings.name, self._others(), self._now(), self._began):
            await self._work(self._send_alerts)

    def _send_alerts(self) -> None:
        # Nobody waits for it, so counting goes on at its own pace.
        missing = lacking(quotas.days(self._now()), self.sources())
        self._alerting.run(self._quotas(), sorted({one.collector for one in missing}))

    def _work(self, work: Callable[..., object], *given: object) -> asyncio.Future[object]:
        """In threads of its own: collectors that are away must not keep exports waiting."""
        return asyncio.get_running_loop().run_in_executor(self._threads, work, *given)

    async def _repeat(self, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        trouble = ""
        while True:
            try:
                await work()
                trouble = ""
            except UsageError as error:
                if str(error) != trouble:
                    _log.error("usage is not counted at the moment: %s", error)
                trouble = str(error)
            except Exception:
                # Whatever it is: answers say that they are behind, and events go on being stored.
                _log.exception("usage is not counted at the moment")
            await asyncio.sleep(seconds)

    def _renew(self) -> None:
        if self.store.damage:
            self.store.renew(self.store.damage)
            self.feeder.recall()
            self._exchange.recall()


def _store(folder: Path, ledgers: Ledgers) -> Store:
    """The index; that of a version before is brought up, if need be in what the disk keeps back."""
    try:
        return Store(folder)
    except StorageUnavailable as error:
        ledgers.space.ran_out(error)
        return Store(folder)
