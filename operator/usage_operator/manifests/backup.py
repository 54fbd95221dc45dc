"""Backups: a CronJob and a volume for each zone, so that one lost zone takes no other with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from usage_operator import naming
from usage_operator.manifests import peers, pod
from usage_operator.manifests.metadata import Context, Manifest, base
from usage_operator.spec import BackupVolume

if TYPE_CHECKING:
    from collections.abc import Mapping

    from usage_operator.spec import Backup, BackupBucket, Encryption

_FILES = naming.FILES_DIR


def _command(context: Context, wanted: Backup, zone: str, replicas: int) -> list[str]:
    words = [naming.BACKUP, "--from", ",".join(peers.urls(context, {zone: replicas}))]
    words += ["--to", place(wanted), "--keep-days", str(wanted.keep_days)]
    if wanted.verify.every_days:
        words += ["--verify-every", str(wanted.verify.every_days)]
    words += ["--auto-restore"] if wanted.auto_restore else []
    words += ["--token-file", f"{_FILES}/tokens/admin"]
    return [*words, "--summary-file", "/dev/termination-log"]


def place(wanted: Backup) -> str:
    """Give the place of all backups as the collector's commands take it."""
    bucket = wanted.destination.s3
    return naming.BACKUP_DIR if bucket is None else bucket_place(bucket)


def bucket_place(bucket: BackupBucket) -> str:
    """Give a bucket as the collector's commands take it."""
    options = {
        "endpoint": bucket.endpoint,
        "region": bucket.region,
        "credentials": f"{_FILES}/s3" if bucket.secret_name else None,
    }
    query = urlencode({name: value for name, value in options.items() if value}, safe=":/")
    path = "/".join(filter(None, (bucket.bucket, bucket.prefix.strip("/"))))
    return f"s3://{path}" + (f"?{query}" if query else "")


def elsewhere(context: Context, zone: str) -> dict[str, Any]:
    """Prefer nodes elsewhere: where the first backup runs its volume is made.

    An affinity of the user's for nodes stands instead.
    """
    found = [one.node_selector for one in context.spec.zones if one.name == zone]
    selector = (found and found[0]) or {naming.TOPOLOGY_ZONE: zone}
    other = [
        {"key": key, "operator": "NotIn", "values": [value]} for key, value in selector.items()
    ]
    terms = [{"weight": 100, "preference": {"matchExpressions": [one]}} for one in other]
    ours = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}}
    return ours | context.spec.template.affinity


def claim(context: Context, wanted: Backup, zone: str) -> Manifest:
    """Build the claim of a zone's backups. It has no owner: it is for when all else is gone."""
    volume = wanted.destination.volume or BackupVolume()
    kind = ("v1", "PersistentVolumeClaim")
    name = context.names.backup(zone)
    manifest = base(context, kind, name, naming.BACKUP, zone=zone, owned=False)
    manifest["spec"] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": volume.size}},
    }
    if volume.storage_class_name:
        manifest["spec"]["storageClassName"] = volume.storage_class_name
    return manifest


def _pod(context: Context, wanted: Backup, zone: str, replicas: int) -> dict[str, Any]:
    shelf = own_shelf(context, wanted, zone)
    command = _command(context, wanted, zone, replicas)
    found = pod_spec(context, naming.BACKUP, command, shelf)
    affinity = elsewhere(context, zone)
    if wanted.continuous and shelf.claim:
        affinity = beside(context, zone, affinity)
    return {**found, "affinity": affinity}


def beside(context: Context, zone: str, affinity: Mapping[str, Any]) -> dict[str, Any]:
    """Add that a pod runs where the zone's shipper does, whose volume one node alone can have."""
    selector = {"matchLabels": context.names.selector(naming.SHIPPER, zone)}
    term = {"labelSelector": selector, "topologyKey": "kubernetes.io/hostname"}
    which = "requiredDuringSchedulingIgnoredDuringExecution"
    pods = affinity.get("podAffinity") or {}
    return {**affinity, "podAffinity": {**pods, which: [*(pods.get(which) or []), term]}}


class Shelf(NamedTuple):
    """Where backups lie, as a pod sees it: on the volume of a claim, or in a bucket."""

    claim: str | None
    bucket: BackupBucket | None
    encryption: Encryption | None


def own_shelf(context: Context, wanted: Backup, zone: str) -> Shelf:
    """Say where a zone's own backups lie."""
    bucket = wanted.destination.s3
    return Shelf(None if bucket else context.names.backup(zone), bucket, wanted.encryption)


def pod_spec(
    context: Context, name: str, command: list[str], shelf: Shelf, *, writes: bool = True
) -> dict[str, Any]:
    """Build what pods have in common that take backups or bring them back."""
    volumes, mounts = pod.files(context, "tokens", "ca")
    environment = {
        "USAGE_CA_FILE": f"{_FILES}/ca/ca.crt",
        "TMPDIR": "/tmp",  # noqa: S108 - the pod's own emptyDir
        "HOME": "/tmp",  # noqa: S108
    }
    if shelf.encryption:
        environment["USAGE_BACKUP_KEY_FILE"] = f"{_FILES}/backup/{naming.BACKUP_KEY}"
        volumes.append({"name": "backup", "secret": _readable(shelf.encryption.secret_name)})
        mounts.append({"name": "backup", "mountPath": f"{_FILES}/backup", "readOnly": True})
    if shelf.claim:
        volumes.insert(0, {"name": "backups", "persistentVolumeClaim": {"claimName": shelf.claim}})
        read_only = {} if writes else {"readOnly": True}
        mounts.insert(0, {"name": "backups", "mountPath": naming.BACKUP_DIR, **read_only})
    elif shelf.bucket and shelf.bucket.secret_name:
        volumes.append({"name": "s3", "secret": _readable(shelf.bucket.secret_name)})
        mounts.append({"name": "s3", "mountPath": f"{_FILES}/s3", "readOnly": True})
    container = {
        "name": name,
        "image": context.collector_image,
        "args": command,
        "env": pod.environment(environment),
        "resources": pod.resources(context),
        "securityContext": pod.CONTAINER_SECURITY,
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
            *mounts,
        ],
    }
    return {
        "serviceAccountName": context.names.backups,
        "restartPolicy": "Never",
        "volumes": [
            {"name": "tmp", "emptyDir": {}},
            *volumes,
        ],
        "containers": [container],
    }


def _readable(secret: str) -> dict[str, Any]:
    """Mount a Secret so that the pod's group, not everyone, can read it."""
    return {"secretName": secret, "defaultMode": 0o440}


def cronjob(context: Context, wanted: Backup, zone: str, replicas: int) -> Manifest:
    """Build the CronJob of a zone; ``replicas`` are the collectors that there are."""
    name = context.names.backup(zone)
    manifest = base(context, ("batch/v1", "CronJob"), name, naming.BACKUP, zone=zone)
    own = _pod(context, wanted, zone, replicas)
    manifest["spec"] = {
        "schedule": wanted.schedule,
        "timeZone": wanted.time_zone,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 3600,
        "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 1,
        "jobTemplate": {
            "metadata": {"labels": context.names.labels(naming.BACKUP, zone)},
            "spec": {
                "backoffLimit": 3,
                "activeDeadlineSeconds": 6 * 3600,
                "template": pod.template(context, naming.BACKUP, own, zone),
            },
        },
    }
    return manifest


def build(context: Context, collectors: Mapping[str, int]) -> list[Manifest]:
    """Build everything for zones with so many collectors; nothing where none is asked for."""
    wanted = context.spec.backup
    if wanted is None:
        return []
    jobs = [cronjob(context, wanted, zone, replicas) for zone, replicas in collectors.items()]
    if wanted.destination.s3:
        return jobs
    return [*(claim(context, wanted, zone) for zone in collectors), *jobs]
