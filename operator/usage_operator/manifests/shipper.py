"""Shippers, on request: one pod a zone follows its collectors between one backup and the next.

It shares the volume of the zone's backups with their CronJob, whose pods therefore run on its node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from usage_operator import naming
from usage_operator.manifests import backup, peers, pod
from usage_operator.manifests.metadata import Context, Manifest, base

if TYPE_CHECKING:
    from collections.abc import Mapping

    from usage_operator.spec import Backup

_PORT = 8405


def _command(context: Context, wanted: Backup, every: int, zone: str, replicas: int) -> list[str]:
    words = [naming.SHIP, "--from", ",".join(peers.urls(context, {zone: replicas}))]
    words += ["--to", backup.place(wanted), "--every", str(every), "--listen", str(_PORT)]
    return [*words, "--token-file", f"{naming.FILES_DIR}/tokens/admin"]


def _pod(context: Context, wanted: Backup, every: int, zone: str, replicas: int) -> dict[str, Any]:
    command = _command(context, wanted, every, zone, replicas)
    shelf = backup.own_shelf(context, wanted, zone)
    found = backup.pod_spec(context, naming.SHIPPER, command, shelf)
    found["containers"][0] |= {
        "ports": [{"name": "metrics", "containerPort": _PORT, "protocol": "TCP"}],
        # The status says why one does not start; nobody reads its log before.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": "metrics"},
            "periodSeconds": 5,
            "failureThreshold": 2,
        },
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": "metrics"},
            "periodSeconds": 20,
            "timeoutSeconds": 10,
        },
    }
    return {**found, "restartPolicy": "Always", "affinity": backup.elsewhere(context, zone)}


def _deployment(context: Context, wanted: Backup, every: int, zone: str, replicas: int) -> Manifest:
    names = context.names
    name = names.backup(zone)
    manifest = base(context, ("apps/v1", "Deployment"), name, naming.SHIPPER, zone=zone)
    own = _pod(context, wanted, every, zone, replicas)
    manifest["spec"] = {
        "replicas": 1,
        # Two of them would only wait for each other.
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": names.selector(naming.SHIPPER, zone)},
        "template": pod.template(context, naming.SHIPPER, own, zone),
    }
    return manifest


def build(context: Context, collectors: Mapping[str, int]) -> list[Manifest]:
    """Build the shippers of zones with so many collectors; nothing where none are wanted."""
    wanted = context.spec.backup
    if wanted is None or wanted.continuous is None:
        return []
    every = wanted.continuous.every_seconds
    return [
        _deployment(context, wanted, every, zone, replicas) for zone, replicas in collectors.items()
    ]
