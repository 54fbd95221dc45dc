"""PodMonitor and PrometheusRule, for clusters with the Prometheus operator.

Source: the API reference of monitoring.coreos.com/v1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from usage_operator import naming
from usage_operator.manifests.metadata import Context, Manifest, base

_API = "monitoring.coreos.com/v1"


class Alert(NamedTuple):
    """One alert: ``{on}`` in the expression selects the resource's collectors."""

    name: str
    expression: str
    minutes: int
    severity: str
    summary: str


ALERTS = (
    Alert(
        "UsageCollectorDown", "up{on} == 0", 5, "warning",
        "A collector does not answer; transcribers use the others.",
    ),
    Alert(
        "UsageLedgerDamaged", "usage_ledger_damaged{on} > 0", 0, "critical",
        "A ledger was set aside as damaged.",
    ),
    Alert(
        "UsageVolumeLost", "usage_volume_lost_timestamp_seconds{on} > 0", 0, "critical",
        "A collector lost what it held and began anew.",
    ),
    Alert(
        "UsagePurgeDue", "usage_purge_due_seconds{on} < 1209600", 60, "warning",
        "Events that were not exported fall due for purging within 14 days.",
    ),
    Alert(
        "UsageVolumeFilling",
        "usage_disk_used_bytes{on} / (usage_disk_used_bytes{on} + usage_disk_free_bytes{on}) > 0.8",
        10, "warning", "A collector's volume is more than 80 % full.",
    ),
    Alert(
        "UsageEventsRefused",
        'sum without (status) (rate(usage_requests_total{on,listener="ingest",status="503"}[5m]))'
        " > 0", 5, "critical", "A collector cannot make events durable.",
    ),
    Alert(
        "UsageCertificateExpires",
        "usage_certificate_expiry_timestamp_seconds{on} - time() < 604800", 60, "warning",
        "A collector's certificate expires within a week.",
    ),
    Alert(
        "UsageNotAllKnown", "max(usage_collectors_missing{on}) > 0", 30, "warning",
        "Usage is told without all that some collectors hold.",
    ),
    Alert(
        "UsageQuotaExceeded", "max(usage_quotas_exceeded{on}) > 0", 0, "info",
        "A customer has used all of its month's hours.",
    ),
    Alert(
        "UsageAlertsWaiting", "usage_quota_alerts_waiting{on} > 0", 30, "warning",
        "A webhook does not take alerts.",
    ),
    Alert(
        "UsageTranscriptsStuck", "usage_transcripts_stuck{on} > 0", 15, "warning",
        "Another vendor does not tell how long transcripts were; they are not billed.",
    ),
)  # fmt: skip

SHIPPER_ALERTS = (
    Alert(
        "UsageBackupLag", "usage_backup_lag_seconds{on} > 300", 5, "warning",
        "What a collector took in the last minutes is not in its backup.",
    ),
)  # fmt: skip
"""Those about the resource's shippers."""


def _labelled(context: Context, kind: str, name: str, component: str) -> Manifest:
    manifest = base(context, (_API, kind), name, component)
    manifest["metadata"]["labels"] = context.spec.monitoring.labels | manifest["metadata"]["labels"]
    return manifest


def pod_monitor(context: Context) -> Manifest:
    """Build what tells Prometheus to scrape the collectors."""
    spec, names = context.spec, context.names
    endpoint: dict[str, Any] = {"port": "reporting", "path": "/metrics", "scheme": "http"}
    if spec.reporting.tls:
        endpoint |= {
            "scheme": "https",
            "tlsConfig": {
                "ca": {"configMap": {"name": names.ca, "key": "ca.crt"}},
                "serverName": names.service_host(names.reporting),
            },
        }
    manifest = _labelled(context, "PodMonitor", names.collector, naming.COLLECTOR)
    manifest["spec"] = {
        "selector": {"matchLabels": names.selector(naming.COLLECTOR)},
        "podMetricsEndpoints": [endpoint],
    }
    return manifest


def shipper_monitor(context: Context) -> Manifest:
    """Build what tells Prometheus to scrape the shippers."""
    names = context.names
    manifest = _labelled(context, "PodMonitor", names.shippers, naming.SHIPPER)
    manifest["spec"] = {
        "selector": {"matchLabels": names.selector(naming.SHIPPER)},
        "podMetricsEndpoints": [{"port": "metrics", "path": "/metrics", "scheme": "http"}],
    }
    return manifest


def expression(alert: Alert, namespace: str, name: str) -> str:
    """Write an alert's expression for what the PodMonitor of that name finds."""
    on = f'namespace="{namespace}",job="{namespace}/{name}"'
    return alert.expression.replace("{on}", f"{{{on}}}").replace("{on,", f"{{{on},")


def rules(context: Context) -> Manifest:
    """Build the alerts; each names the heading of its runbook."""
    names = context.names
    manifest = _labelled(context, "PrometheusRule", names.collector, naming.COLLECTOR)
    wanted = [(alert, names.collector) for alert in ALERTS]
    wanted += [(alert, names.shippers) for alert in SHIPPER_ALERTS if _followed(context)]
    made = []
    for alert, monitor in wanted:
        rule: dict[str, Any] = {
            "alert": alert.name,
            "expr": expression(alert, names.namespace, monitor),
            "labels": {"severity": alert.severity, "resource": names.name},
            "annotations": {
                "summary": alert.summary,
                "runbook_url": f"{context.runbooks}#{alert.name.lower()}",
            },
        }
        made.append(rule | ({"for": f"{alert.minutes}m"} if alert.minutes else {}))
    manifest["spec"] = {"groups": [{"name": f"usage-{names.name}", "rules": made}]}
    return manifest


def _followed(context: Context) -> bool:
    return bool(context.spec.backup and context.spec.backup.continuous)


def build(context: Context) -> list[Manifest]:
    """Build what was asked for and the cluster knows."""
    wanted = context.spec.monitoring
    made = []
    if wanted.pod_monitor and "PodMonitor" in context.offered:
        made.append(pod_monitor(context))
        made += [shipper_monitor(context)] if _followed(context) else []
    if wanted.rules and "PrometheusRule" in context.offered:
        made.append(rules(context))
    return made
