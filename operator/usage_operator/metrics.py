"""What the operator counts about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class OfResources(Collector):
    """A gauge of each resource, told as a whole and dropped with it.

    The library's gauge takes a lock, a value and a dictionary for each series, and looks through
    all of them to remove one resource's: too much for thousands.
    """

    def __init__(self, name: str, text: str, labels: tuple[str, ...] = ()) -> None:
        self._name = name
        self._text = text
        self._labelnames = ("namespace", "name", *labels)
        self._told: dict[tuple[str, str], Mapping[tuple[str, ...], float]] = {}
        REGISTRY.register(self)

    def tell(
        self, namespace: str, name: str, values: Mapping[tuple[str, ...], float] | float | None
    ) -> None:
        """Say a resource's values, by further labels if there are any; nothing else is true."""
        if isinstance(values, int | float):
            values = {(): values}
        if values:
            self._told[namespace, name] = values
        else:
            self._told.pop((namespace, name), None)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metric, so that no other can have its name."""
        yield GaugeMetricFamily(self._name, self._text, labels=self._labelnames)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give all series."""
        family = GaugeMetricFamily(self._name, self._text, labels=self._labelnames)
        for key, values in list(self._told.items()):
            for labels, value in values.items():
                family.add_metric([*key, *labels], value)
        yield family


RECONCILES = Histogram(
    "usage_operator_reconcile_seconds", "Duration of a reconcile of one resource, in seconds."
)
FAILURES = Counter(
    "usage_operator_reconcile_failures_total", "Reconciles that have to be repeated.", ["error"]
)
WRITES = Counter(
    "usage_operator_writes_total", "Writes to the API server, status included.", ["verb", "kind"]
)
QUEUE = Gauge("usage_operator_queue_keys", "Resources that wait for, or are in, a reconcile.")
LEADING = Gauge("usage_operator_leading", "Whether this operator holds the Lease.")
CONDITIONS = OfResources(
    "usage_operator_resource_condition",
    "A resource's conditions: 1 for the status that each has.",
    ("type", "status"),
)
COLLECTORS = OfResources(
    "usage_operator_resource_collectors",
    "Collectors of a resource: those that should run, and those that are ready.",
    ("state",),
)
READY = OfResources("usage_operator_resource_ready", "Whether a resource is Ready.")
BACKUP_OVERDUE = OfResources(
    "usage_operator_resource_backup_overdue",
    "Whether a zone's backup is older than the schedule allows.",
)
PROOF_OVERDUE = OfResources(
    "usage_operator_resource_backup_proof_overdue",
    "Whether a zone's backup should have been restored and compared again long ago.",
)
BACKUP_TIME = OfResources(
    "usage_operator_resource_backup_timestamp_seconds",
    "When the oldest of the zones' newest backups was taken.",
)
PROOF_TIME = OfResources(
    "usage_operator_resource_backup_proof_timestamp_seconds",
    "Since when all of the zones' backups have been restored and compared.",
)
EXPORT_OVERDUE = OfResources(
    "usage_operator_resource_export_overdue",
    "Whether a month's export has been due for more than a day.",
)
OF_RESOURCES = (
    *(CONDITIONS, COLLECTORS, READY, EXPORT_OVERDUE),
    *(BACKUP_OVERDUE, PROOF_OVERDUE, BACKUP_TIME, PROOF_TIME),
)
