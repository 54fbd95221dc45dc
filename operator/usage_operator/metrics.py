"""What the operator counts about itself."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

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
CONDITIONS = Gauge(
    "usage_operator_resource_condition",
    "A resource's conditions: 1 for the status that each has.",
    ["namespace", "name", "type", "status"],
)
COLLECTORS = Gauge(
    "usage_operator_resource_collectors",
    "Collectors of a resource: those that should run, and those that are ready.",
    ["namespace", "name", "state"],
)
READY = Gauge(
    "usage_operator_resource_ready", "Whether a resource is Ready.", ["namespace", "name"]
)
BACKUP_OVERDUE = Gauge(
    "usage_operator_resource_backup_overdue",
    "Whether a zone's backup is older than the schedule allows.",
    ["namespace", "name"],
)
PROOF_OVERDUE = Gauge(
    "usage_operator_resource_backup_proof_overdue",
    "Whether a zone's backup should have been restored and compared again long ago.",
    ["namespace", "name"],
)
BACKUP_TIME = Gauge(
    "usage_operator_resource_backup_timestamp_seconds",
    "When the oldest of the zones' newest backups was taken.",
    ["namespace", "name"],
)
PROOF_TIME = Gauge(
    "usage_operator_resource_backup_proof_timestamp_seconds",
    "Since when all of the zones' backups have been restored and compared.",
    ["namespace", "name"],
)
EXPORT_OVERDUE = Gauge(
    "usage_operator_resource_export_overdue",
    "Whether a month's export has been due for more than a day.",
    ["namespace", "name"],
)
