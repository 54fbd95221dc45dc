"""The monthly export: a CronJob that looks every day, and a volume for what it exports."""

from __future__ import annotations

from typing import Any

from usage_operator import naming
from usage_operator.manifests import destinations, pod
from usage_operator.manifests.metadata import Context, Manifest, base

_DEFAULT_SIZE = "5Gi"
_FILES = naming.FILES_DIR


def command(context: Context) -> list[str]:
    """Give the export's arguments: what is due, how files are cut, where they go."""
    wanted = context.spec.export
    words = [naming.EXPORT_MONTH, "--due", "--day", str(wanted.day), "--at", wanted.at]
    words += ["--time-zone", wanted.time_zone]
    if wanted.holidays.country:
        words += ["--country", wanted.holidays.country]
    for date in wanted.holidays.dates:
        words += ["--holiday", date]
    words += ["--megabytes", str(wanted.limits.megabytes)]
    words += ["--batch-jobs", str(wanted.limits.batch_jobs)]
    words += ["--realtime-hours", str(wanted.limits.realtime_hours)]
    words += ["--retired", f"@{_FILES}/peers/retired"]
    words += ["--peers", f"@{_FILES}/peers/peers"]
    for index, destination in enumerate(wanted.destinations):
        words += ["--to", destinations.place(destination, index)]
    words += ["--token-file", f"{_FILES}/tokens/admin"]
    return [*words, "--summary-file", "/dev/termination-log"]


def claim(context: Context) -> Manifest | None:
    """Build the claim of the exports' volume; None where there is none, or the user's own is used.

    It has no owner: a delivered month outlives the resource.
    """
    wanted = context.spec.export.volume
    if wanted is None or wanted.claim_name:
        return None
    kind = ("v1", "PersistentVolumeClaim")
    manifest = base(context, kind, context.names.export, naming.EXPORT, owned=False)
    manifest["spec"] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": wanted.size or _DEFAULT_SIZE}},
    }
    if wanted.storage_class_name:
        manifest["spec"]["storageClassName"] = wanted.storage_class_name
    return manifest


def _pod(context: Context) -> dict[str, Any]:
    volumes, mounts = pod.files(context, "keys", "tokens", "ca", "peers")
    own, own_mounts = destinations.secrets(context.spec.export)
    volumes = [{"name": "tmp", "emptyDir": {}}, *volumes, *own]
    mounts = [{"name": "tmp", "mountPath": "/tmp"}, *mounts, *own_mounts]  # noqa: S108
    if kept := context.spec.export.volume:
        source = {"claimName": kept.claim_name or context.names.export}
        volumes.insert(0, {"name": "exports", "persistentVolumeClaim": source})
        mounts.insert(0, {"name": "exports", "mountPath": naming.EXPORT_DIR})
    container = {
        "name": "export",
        "image": context.collector_image,
        "args": command(context),
        "env": pod.environment(
            {
                "USAGE_CA_FILE": f"{_FILES}/ca/ca.crt",
                "USAGE_SIGNING_KEY_FILE": f"{_FILES}/keys/hs512.key",
                "USAGE_PROOF_KEY_FILE": f"{_FILES}/keys/proof.pem",
                "USAGE_LOG_FORMAT": "json",
                "TMPDIR": "/tmp",  # noqa: S108 - the pod's own emptyDir
                "HOME": "/tmp",  # noqa: S108
            }
        ),
        "resources": pod.resources(context),
        "securityContext": pod.CONTAINER_SECURITY,
        "terminationMessagePolicy": "File",
        "volumeMounts": mounts,
    }
    return {
        "serviceAccountName": context.names.export,
        "restartPolicy": "Never",
        "volumes": volumes,
        "containers": [container],
    }


def cronjob(context: Context) -> Manifest:
    """Build the CronJob: daily at the export's time of day; it exports what is due by then."""
    wanted = context.spec.export
    hour, minute = wanted.at.split(":")
    manifest = base(context, ("batch/v1", "CronJob"), context.names.export, naming.EXPORT)
    manifest["spec"] = {
        "schedule": f"{int(minute)} {int(hour)} * * *",
        "timeZone": wanted.time_zone,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 3600,
        "successfulJobsHistoryLimit": 2,
        "failedJobsHistoryLimit": 2,
        "jobTemplate": {
            "metadata": {"labels": context.names.labels(naming.EXPORT)},
            "spec": {
                "backoffLimit": 3,
                "activeDeadlineSeconds": 6 * 3600,
                "template": pod.template(context, naming.EXPORT, _pod(context)),
            },
        },
    }
    return manifest
