"""Names, labels, ports and the words of the collector's command line."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

GROUP = "usage-operator.io"
VERSION = "v1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "UsageCollector"
PLURAL = "usagecollectors"
FIELD_MANAGER = "usage-operator"

INSTANCE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"
MANAGED_BY = "app.kubernetes.io/managed-by"
ZONE = f"{GROUP}/zone"
TOPOLOGY_ZONE = "topology.kubernetes.io/zone"
HASH = f"{GROUP}/hash"
TEMPLATE_HASH = f"{GROUP}/template-hash"
DISCARD = f"{GROUP}/discard"
DISCARDED = f"{GROUP}/discarded"
"""Stands on the claim of a collector that was removed: what it holds is not waited for."""
EMPTIED = "emptied"
"""Its value where all that the collector held had been sent."""
INGEST = f"{GROUP}/ingest"
"""Label of pods: whether the ingest Service leads to them."""
INGEST_OFF = f"{GROUP}/ingest-off-since"
ON, OFF = "on", "off"
NODE_SELECTOR = f"{GROUP}/node-selector"
"""Stands on a claim, as JSON, where its zone has a selector of its own."""

COLLECTOR = "collector"
EXPORT = "export"
BACKUP = "backup"
"""Component, and the collector's command word."""

RESTORE = "restore"
"""Component, the collector's command word, and the end of the annotations below."""
RESTORES = f"{GROUP}/restore"
RESTORE_PLANS = f"{GROUP}/restore-dry-run"
"""What users write on a resource: the zones or collectors to restore, or to plan it for."""
REQUEST = f"{GROUP}/request"
"""Stands on a restore's job: what asked for it."""

PROXY = "proxy"
SHIPPER = "shipper"
SHIP = "ship"
"""The collector's command word of shippers."""

SERVE = "serve"
EXPORT_MONTH = "export-month"
USER = 65532
DATA_DIR = "/data"
EXPORT_DIR = "/exports"
BACKUP_DIR = "/backups"
BACKUP_KEY = "backup.key"
FILES_DIR = "/etc/usage"

MAX_NAME = 40
"""Leaves room for the suffixes below in a CronJob's name, which may have 52 characters."""
MAX_CRONJOB = 52
MAX_SET_NAME = 52
"""A StatefulSet's pods carry its name and a hash in one label of 63 characters."""

RESERVED_ZONES = frozenset(
    {
        *("backup", "verify", "export", "ingest", "reporting", "webhooks", "proxy"),
        "shipper",
        *("ca", "ca-key", "client-ca", "tls", "tls-issued", "keys", "tokens", "peers", "limits"),
        *("webhooks-tls", "webhooks-tls-issued"),
        *("collector", "operator", "monitoring", "network"),
    }
)
"""Suffixes that other objects of a resource have, or may get: no zone may be called so."""


@dataclass(frozen=True, slots=True)
class Names:
    """The names of all objects that belong to one resource."""

    name: str
    namespace: str
    cluster_domain: str = "cluster.local"

    def zone(self, zone: str) -> str:
        """Name a zone's StatefulSet and headless Service."""
        return f"{self.name}-{zone}"

    def claim(self, zone: str, ordinal: int) -> str:
        """Name a collector's volume claim."""
        return f"data-{self.name}-{zone}-{ordinal}"

    def pod_host(self, zone: str, ordinal: int) -> str:
        """Give the stable host name of one collector."""
        return f"{self.zone(zone)}-{ordinal}.{self.zone(zone)}.{self.namespace}.svc"

    def service_host(self, service: str) -> str:
        """Give a Service's host name as clients in the cluster write it."""
        return f"{service}.{self.namespace}.svc"

    @property
    def ingest(self) -> str:
        """Name the round-robin Service that transcribers post to."""
        return self.name

    @property
    def reporting(self) -> str:
        """Name the Service in front of the reporting listeners."""
        return f"{self.name}-reporting"

    @property
    def webhooks(self) -> str:
        """Name the Service that other vendors call."""
        return f"{self.name}-webhooks"

    @property
    def webhooks_tls(self) -> str:
        """Name the Secret with the certificate that the operator makes for the webhooks."""
        return f"{self.name}-webhooks-tls"

    @property
    def webhooks_issued(self) -> str:
        """Name the Secret with the certificate that cert-manager issues for the webhooks."""
        return f"{self.name}-webhooks-tls-issued"

    @property
    def tls(self) -> str:
        """Name the Secret with the certificate that the operator makes."""
        return f"{self.name}-tls"

    @property
    def issued(self) -> str:
        """Name the Secret with the certificate that cert-manager issues."""
        return f"{self.name}-tls-issued"

    @property
    def ca_key(self) -> str:
        """Name the Secret with the certificate authority's key."""
        return f"{self.name}-ca-key"

    @property
    def ca(self) -> str:
        """Name the ConfigMap with what clients trust."""
        return f"{self.name}-ca"

    @property
    def keys(self) -> str:
        """Name the Secret with the signing keys that the operator makes."""
        return f"{self.name}-keys"

    @property
    def tokens(self) -> str:
        """Name the Secret with the reporting tokens that the operator makes."""
        return f"{self.name}-tokens"

    @property
    def peers(self) -> str:
        """Name the ConfigMap that lists every collector that should exist."""
        return f"{self.name}-peers"

    @property
    def limits(self) -> str:
        """Name the ConfigMap with plans, quotas and alerts."""
        return f"{self.name}-limits"

    @property
    def collector(self) -> str:
        """Name the collectors' ServiceAccount and PodDisruptionBudget."""
        return f"{self.name}-collector"

    @property
    def export(self) -> str:
        """Name the export's CronJob, ServiceAccount and claim."""
        return f"{self.name}-export"

    @property
    def backups(self) -> str:
        """Name the ServiceAccount and NetworkPolicy of all backups and restores."""
        return f"{self.name}-backup"

    @property
    def shippers(self) -> str:
        """Name the NetworkPolicy and PodMonitor of all shippers."""
        return f"{self.name}-shipper"

    @property
    def proxy(self) -> str:
        """Name the proxies' Deployment, and all that they need."""
        return f"{self.name}-proxy"

    def backup(self, zone: str) -> str:
        """Name what a zone's backups need; it never ends like a collector's name."""
        whole = f"{self.name}-{zone}"
        if len(whole) > MAX_CRONJOB - len("-backup"):
            digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
            whole = f"{whole[: MAX_CRONJOB - len('-00000000-backup')]}-{digest}"
        return f"{whole}-backup"

    def restore(self, mark: str) -> str:
        """Name a restore's job; ``mark`` tells it from others."""
        return f"{self.name}-restore-{mark}"

    def selector(self, component: str, zone: str | None = None) -> dict[str, str]:
        """Give the labels that select the pods of a component, in one zone or in all."""
        labels = {
            "app.kubernetes.io/name": "usage-collector",
            INSTANCE: self.name,
            COMPONENT: component,
        }
        return labels | ({ZONE: zone} if zone else {})

    def labels(self, component: str, zone: str | None = None) -> dict[str, str]:
        """Give the labels of an object."""
        return self.selector(component, zone) | {MANAGED_BY: FIELD_MANAGER}
