"""What Prometheus reads; no label ever holds a customer."""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from usage_collector import receipts
from usage_collector.errors import UsageError
from usage_collector.web.day_metrics import DayMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from usage_collector.events import Outcome
    from usage_collector.ledger import Ledgers

_COMMIT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_KINDS = ("folder", "s3", "mailto", "https")
_BATCH_BUCKETS = (1, 4, 16, 64, 256, 1000, 4000)


disable_created_metrics()  # type: ignore[no-untyped-call]


class _Counts(Collector):
    """A counter with labels that one thread counts; a lock each time would take as long again."""

    def __init__(self, name: str, text: str, labels: tuple[str, str]) -> None:
        self.totals: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._about = (name, text)
        self._labels = labels

    def collect(self) -> Iterator[CounterMetricFamily]:
        """As Prometheus asks for it, from any thread."""
        family = CounterMetricFamily(*self._about, labels=self._labels)
        for labels, total in list(self.totals.items()):
            family.add_metric(labels, total)
        yield family


class Metrics:
    """The metrics of one collector."""

    def __init__(self, version: str, collector: str, zone: str, retention_days: int) -> None:
        self.registry = CollectorRegistry()
        self._scrape = threading.Lock()
        self._retention = retention_days * 86_400
        info = self._gauge(
            "usage_collector_info", "Which collector this is", "version", "collector", "zone"
        )
        info.labels(version, collector, zone).set(1)
        self._events = _Counts("usage_events", "Events acknowledged", ("kind", "result"))
        self._requests = _Counts("usage_requests", "Requests answered", ("listener", "status"))
        for counts in (self._events, self._requests):
            self.registry.register(counts)
        self._commits = Histogram(
            "usage_commit_seconds",
            "Time to make a group of events durable",
            buckets=_COMMIT_BUCKETS,
            registry=self.registry,
        )
        self._batches = Histogram(
            "usage_batch_events",
            "Events made durable together",
            buckets=_BATCH_BUCKETS,
            registry=self.registry,
        )
        self._waiting = self._gauge("usage_waiting_events", "Events not yet durable")
        self._used = self._gauge("usage_disk_used_bytes", "Size of the data folder")
        self._free = self._gauge("usage_disk_free_bytes", "Free space on the data volume")
        self._head = self._gauge("usage_head_position", "Last position of a ledger", "ledger")
        self._ledgers = self._gauge("usage_ledgers", "Ledgers by state", "state")
        self._damaged = self._gauge("usage_ledger_damaged", "Ledgers set aside as damaged")
        self._unreceipted = self._gauge(
            "usage_oldest_unreceipted_seconds", "Age of the oldest event not known to be sent"
        )
        self._awaited = self._gauge(
            "usage_awaited_files",
            "Files that destinations were promised and have not got, by kind of destination",
            "kind",
        )
        self._months = self._gauge(
            "usage_months",
            "Months by kind of destination, and by how far they are at each: exported (promised), "
            "sent, acknowledged",
            "kind",
            "state",
        )
        self._due = self._gauge(
            "usage_purge_due_seconds",
            "Until the oldest event not known to be sent has been kept as long as events are kept; "
            "negative once it has, +Inf when all are sent: warn below 1209600 (14 days)",
        )
        self._jumps = self._gauge(
            "usage_clock_jumps", "Jumps of the host's clock noticed since the start or at it"
        )
        self._distrusted = self._gauge(
            "usage_clock_distrusted_seconds",
            "Until the clock has run evenly long enough to purge by it; 86400 after a jump",
        )
        self._checked = self._gauge(
            "usage_checked_events", "Events that the background check found as they were stored"
        )
        self._check_ended = self._gauge(
            "usage_check_timestamp_seconds", "When the background check last got to the end"
        )
        self._at_quota = self._gauge(
            "usage_customers_at_quota",
            "Customers that reached that part of their quota this month",
            "what",
            "part",
        )
        self._quotas = {
            ("monthly_hours", part): self._gauge(f"usage_quotas_{name}", text)
            for part, name, text in (
                (0.8, "warned", "Customers that used 80 % of their month's quota"),
                (1.0, "exceeded", "Customers that used all of their month's quota"),
            )
        }
        self._ask_quotas: Callable[[], Mapping[tuple[str, float], float]] = dict
        self._days: DayMetrics | None = None
        self._expiry = self._gauge(
            "usage_certificate_expiry_timestamp_seconds", "When the certificate expires"
        )

    def set_clock(self, jumps: int, wait: float) -> None:
        """How often the clock jumped since the start, and how long (s) purging waits for it."""
        self._jumps.set(jumps)
        self._distrusted.set(wait)

    def set_checked(self, events: int, ended: float | None = None) -> None:
        """How far the background check is, and when it ended (s since the Unix epoch)."""
        self._checked.set(events)
        if ended is not None:
            self._check_ended.set(ended)

    def count_event(self, kind: Outcome, new: bool, number: int = 1) -> None:
        """Acknowledged events of that kind; called by the event loop only."""
        self._events.totals[kind, "stored" if new else "duplicate"] += number

    def count_request(self, listener: str, status: int) -> None:
        """An answered request; called by the event loop only."""
        self._requests.totals[listener, str(status)] += 1

    def observe_commit(self, seconds: float, events: int) -> None:
        """A group of events became durable."""
        self._commits.observe(seconds)
        self._batches.observe(events)

    def watch_usage(
        self,
        figures: Mapping[str, Callable[[], float]],
        at_quota: Callable[[], Mapping[tuple[str, float], float]],
        days: Callable[[], Mapping[str, list[dict[str, Any]]]],
    ) -> None:
        """Ask for these at each scrape; see the methods of `usage.Fleet` of these names."""
        texts = {
            "usage_uncounted_events": ("uncounted", "Stored events that no usage counts yet"),
            "usage_collectors_missing": ("missing", "Collectors of which not all usage is known"),
            "usage_quota_alerts_waiting": ("alerts", "Alerts that no webhook has taken yet"),
            "usage_early_events": ("early", "Events dated over a minute later than received"),
            "usage_volume_lost_timestamp_seconds": (
                "lost",
                "When this collector lost what it held and began anew, until that is restored or "
                "told in a delivered month; 0: it did not",
            ),
            "usage_volume_lost_heard_timestamp_seconds": (
                "heard",
                "Up to when others know what it held that it lost; 0: it lost nothing",
            ),
        }
        for name, (figure, text) in texts.items():
            self._gauge(name, text).set_function(figures[figure])
        self._ask_quotas = at_quota
        self._days = DayMetrics(self.registry, days)

    def watch_pending(self, pending: Callable[[], float], stuck: Callable[[], float]) -> None:
        """Ask at each scrape how many transcripts of other vendors are not counted yet."""
        self._gauge(
            "usage_transcripts_pending", "Transcripts of other vendors of unknown duration"
        ).set_function(pending)
        self._gauge(
            "usage_transcripts_stuck",
            "Transcripts that the vendor refuses, or that are pending for over an hour",
        ).set_function(stuck)

    def set_expiry(self, timestamp: float) -> None:
        """The certificate in use expires then (s since the Unix epoch)."""
        self._expiry.set(timestamp)

    def text(self, ledgers: Ledgers) -> bytes:
        """Everything, in Prometheus' text format; one at a time, since each begins some anew."""
        with self._scrape:
            return self._text(ledgers)

    def _text(self, ledgers: Ledgers) -> bytes:
        statuses = ledgers.all()
        for status in statuses:
            self._head.labels(status.id).set(status.last)
        for state, live in (("live", True), ("closed", False)):
            self._ledgers.labels(state).set(sum(s.live is live for s in statuses))
        self._damaged.set(sum(status.damaged for status in statuses))
        self._waiting.set(ledgers.writer.waiting)
        self._used.set(ledgers.used())
        self._free.set(ledgers.space.free())
        age = _age(ledgers)
        self._unreceipted.set(0 if age is None else age)
        self._due.set(math.inf if age is None else self._retention - age)
        self._look_at_quotas()
        if self._days:
            self._days.refresh()
        self._look_at_months(ledgers)
        return generate_latest(self.registry)

    def _look_at_months(self, ledgers: Ledgers) -> None:
        self._awaited.clear()
        self._months.clear()
        try:
            cuts = ledgers.cuts.all()
        except UsageError:
            return
        for kind in _KINDS:
            self._awaited.labels(kind)
            for state in receipts.STATES:
                self._months.labels(kind, state)
        for cut in cuts:
            for by in {one.by for one in cut.receipts}:
                mine, kind = [one for one in cut.receipts if one.by == by], _kind(by)
                waiting = receipts.awaited(mine).get(by, ())
                self._awaited.labels(kind).inc(len(waiting))
                self._months.labels(kind, receipts.state(mine)).inc()

    def _look_at_quotas(self) -> None:
        self._at_quota.clear()
        try:
            found = self._ask_quotas()
        except UsageError:
            found = dict.fromkeys(self._quotas, math.nan)
        for (what, part), customers in found.items():
            self._at_quota.labels(what, f"{part:g}").set(customers)
            if (what, part) in self._quotas:
                self._quotas[what, part].set(customers)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)


def _kind(by: str) -> str:
    """What kind a destination is: who it is is nobody's business here."""
    kind = by.partition(":")[0]
    return kind if kind in _KINDS else "folder"


def _age(ledgers: Ledgers) -> float | None:
    """Seconds since the oldest unsent event came; not a number where nobody knows what was sent."""
    try:
        oldest = ledgers.oldest_unsent()
    except UsageError:
        return math.nan
    return None if oldest is None else max(time.time() - oldest / 1e6, 0)
