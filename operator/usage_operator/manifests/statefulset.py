"""A zone's StatefulSet: the collectors, each with a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from usage_operator import naming
from usage_operator.manifests import limits, pod, webhooks
from usage_operator.manifests.metadata import Context, Manifest, base

if TYPE_CHECKING:
    from usage_operator.spec import Zone

_DRAIN_SECONDS = 5
_GRACE_SECONDS = 30


def _environment(context: Context, zone: Zone) -> list[dict[str, Any]]:
    spec = context.spec
    mutual = {"USAGE_CLIENT_CA_FILE": f"{naming.FILES_DIR}/client-ca/ca.crt"}
    name = {"name": "USAGE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    files = naming.FILES_DIR
    return [
        name,
        *pod.environment(
            {
                "USAGE_ZONE": zone.name,
                "EATS_PORT": str(spec.ingest.port),
                "EATS_SECURE": "true",
                "PANDAS_PORT": str(spec.reporting.port),
                "PANDAS_SECURE": str(spec.reporting.tls).lower(),
                "USAGE_DATA_DIR": naming.DATA_DIR,
                "USAGE_RETENTION_DAYS": str(spec.retention.days),
                "USAGE_HOLD_UNEXPORTED": str(spec.retention.hold_unexported).lower(),
                "USAGE_DRAIN_SECONDS": str(_DRAIN_SECONDS),
                "USAGE_LOG_FORMAT": "json",
                "USAGE_TLS_CERT_FILE": f"{files}/tls/tls.crt",
                "USAGE_TLS_KEY_FILE": f"{files}/tls/tls.key",
                "USAGE_SIGNING_KEY_FILE": f"{files}/keys/hs512.key",
                "USAGE_PROOF_KEY_FILE": f"{files}/keys/proof.pem",
                "USAGE_TOKENS_FILE": f"{files}/tokens/tokens",
                "USAGE_CA_FILE": f"{files}/ca/ca.crt",
                "USAGE_PEERS": f"@{files}/peers/peers",
                **(mutual if spec.ingest.tls.client_ca else {}),
                **limits.environment(context),
                **webhooks.environment(context),
                "TMPDIR": "/tmp",  # noqa: S108 - the pod's own emptyDir
                "HOME": "/tmp",  # noqa: S108
            }
        ),
    ]


def _probes(context: Context) -> dict[str, Any]:
    scheme = "HTTPS" if context.spec.reporting.tls else "HTTP"

    def probe(path: str, period: int, failures: int) -> dict[str, Any]:
        return {
            "httpGet": {"path": path, "port": "reporting", "scheme": scheme},
            "periodSeconds": period,
            "timeoutSeconds": 3,
            "failureThreshold": failures,
        }

    return {
        # Ten minutes: a start checks the ledger, and may salvage one.
        "startupProbe": probe("/healthz", 1, 600),
        "livenessProbe": probe("/healthz", 10, 6),
        "readinessProbe": probe("/readyz", 2, 2),
    }


def _container(context: Context, zone: Zone, mounts: list[dict[str, Any]]) -> dict[str, Any]:
    spec = context.spec
    return {
        "name": "collector",
        "image": context.collector_image,
        "args": [naming.SERVE],
        "env": _environment(context, zone),
        "ports": [
            {"name": "ingest", "containerPort": spec.ingest.port, "protocol": "TCP"},
            {"name": "reporting", "containerPort": spec.reporting.port, "protocol": "TCP"},
            *webhooks.ports(context),
        ],
        "resources": pod.resources(context),
        "securityContext": pod.CONTAINER_SECURITY,
        "volumeMounts": [
            {"name": "data", "mountPath": naming.DATA_DIR},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
            *mounts,
        ],
        **_probes(context),
    }


def _template(context: Context, zone: Zone) -> dict[str, Any]:
    mutual = ["client-ca"] if context.spec.ingest.tls.client_ca else []
    volumes, mounts = pod.files(context, "tls", *mutual, "keys", "tokens", "ca", "peers")
    for further, places in (limits.mounted(context), webhooks.mounted(context)):
        volumes, mounts = [*volumes, *further], [*mounts, *places]
    selector = context.names.selector(naming.COLLECTOR, zone.name)
    spec = {
        "serviceAccountName": context.names.collector,
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "nodeSelector": zone.node_selector or {naming.TOPOLOGY_ZONE: zone.name},
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector},
            }
        ],
        "volumes": [{"name": "tmp", "emptyDir": {}}, *volumes],
        "containers": [_container(context, zone, mounts)],
    }
    made = pod.template(context, naming.COLLECTOR, spec, zone.name)
    made["metadata"]["labels"] |= {naming.INGEST: naming.ON}
    return made


def _claim(context: Context, zone: Zone) -> Manifest:
    """Build the claim template; it cannot be changed later, so its labels must not vary."""
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": context.spec.volume_size(zone)}},
    }
    if storage_class := context.spec.storage_class(zone):
        spec["storageClassName"] = storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "data",
            "labels": context.names.labels(naming.COLLECTOR, zone.name),
        },
        "spec": spec,
    }


def build(context: Context, zone: Zone, replicas: int) -> Manifest:
    """Build a zone's StatefulSet; replicas is what should run, leaving collectors included."""
    name = context.names.zone(zone.name)
    manifest = base(context, ("apps/v1", "StatefulSet"), name, naming.COLLECTOR, zone=zone.name)
    manifest["spec"] = {
        "serviceName": name,
        "replicas": replicas,
        "minReadySeconds": context.spec.min_ready_seconds,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": context.names.selector(naming.COLLECTOR, zone.name)},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
        "template": _template(context, zone),
        "volumeClaimTemplates": [_claim(context, zone)],
    }
    return manifest
