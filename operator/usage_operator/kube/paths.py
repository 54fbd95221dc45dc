"""Where the API server keeps each kind."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from usage_operator import naming


class Kind(NamedTuple):
    """A kind's API version and its plural name in paths."""

    api: str
    plural: str
    namespaced: bool = True


KINDS = {
    naming.KIND: Kind(naming.API_VERSION, naming.PLURAL),
    "StatefulSet": Kind("apps/v1", "statefulsets"),
    "Deployment": Kind("apps/v1", "deployments"),
    "Service": Kind("v1", "services"),
    "ConfigMap": Kind("v1", "configmaps"),
    "Secret": Kind("v1", "secrets"),
    "ServiceAccount": Kind("v1", "serviceaccounts"),
    "PersistentVolumeClaim": Kind("v1", "persistentvolumeclaims"),
    "Pod": Kind("v1", "pods"),
    "PodDisruptionBudget": Kind("policy/v1", "poddisruptionbudgets"),
    "CronJob": Kind("batch/v1", "cronjobs"),
    "Job": Kind("batch/v1", "jobs"),
    "NetworkPolicy": Kind("networking.k8s.io/v1", "networkpolicies"),
    "Certificate": Kind("cert-manager.io/v1", "certificates"),
    "PodMonitor": Kind("monitoring.coreos.com/v1", "podmonitors"),
    "PrometheusRule": Kind("monitoring.coreos.com/v1", "prometheusrules"),
    "Event": Kind("events.k8s.io/v1", "events"),
    "Lease": Kind("coordination.k8s.io/v1", "leases"),
    "StorageClass": Kind("storage.k8s.io/v1", "storageclasses", namespaced=False),
}


OPTIONAL = ("Certificate", "PodMonitor", "PrometheusRule")
"""Kinds of other projects, which a cluster may not know, or only later."""


def path(kind: str, namespace: str | None = None, name: str | None = None, part: str = "") -> str:
    """Give the path of a kind's objects, of one of them, or of a part of one (status).

    Without a namespace: those of all namespaces.
    """
    entry = KINDS[kind]
    root = "/apis/" if "/" in entry.api else "/api/"
    text = f"{root}{entry.api}"
    if namespace and entry.namespaced:
        text += f"/namespaces/{quote(namespace, safe='')}"
    text += f"/{entry.plural}"
    if name:
        text += f"/{quote(name, safe='')}"
    return f"{text}/{part}" if part else text
