"""Restores: a job for each that is asked for. It is as it was made: nobody changes a job."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from usage_operator import naming
from usage_operator.manifests import backup, peers, pod
from usage_operator.manifests.metadata import Context, Manifest, base

if TYPE_CHECKING:
    from collections.abc import Mapping

_RETRIES = 6
"""About ten minutes: a collector takes one ledger back at a time, and another may be under way."""
_LONGEST_SECONDS = 6 * 3600
_KEPT_SECONDS = 7 * 24 * 3600


class Wanted(NamedTuple):
    """A restore: where the backups lie, and whom they come back to.

    ``request`` is what asked for it, in people's words. ``zone`` and ``ordinal`` are None for all
    zones, and for all collectors of one. ``evidence`` makes a job of its own of what is found anew.
    ``everyone`` brings all backups that are there back (of ``collectors``, if any are named),
    otherwise each collector gets its own.
    """

    request: str
    shelf: backup.Shelf
    zone: str | None = None
    ordinal: int | None = None
    dry_run: bool = False
    everyone: bool = False
    collectors: tuple[str, ...] = ()
    evidence: str | None = None


def name(context: Context, wanted: Wanted) -> str:
    """Name the job of a restore: the same for the same, whatever else changes of the resource."""
    shelf = wanted.shelf
    told = [
        *(wanted.request, shelf.claim, wanted.evidence, *wanted.collectors),
        shelf.bucket.model_dump() if shelf.bucket else None,
        shelf.encryption.secret_name if shelf.encryption else None,
    ]
    mark = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:10]
    return context.names.restore(mark)


def _targets(context: Context, wanted: Wanted, collectors: Mapping[str, int]) -> list[str]:
    chosen = {zone: count for zone, count in collectors.items() if wanted.zone in (None, zone)}
    urls = peers.urls(context, chosen)
    return urls if wanted.ordinal is None else urls[wanted.ordinal : wanted.ordinal + 1]


def _command(context: Context, wanted: Wanted, collectors: Mapping[str, int]) -> list[str]:
    bucket = wanted.shelf.bucket
    words = [naming.RESTORE, backup.bucket_place(bucket) if bucket else naming.BACKUP_DIR]
    words += ["--to", ",".join(_targets(context, wanted, collectors))]
    words += ["--all"] if wanted.everyone else []
    for collector in wanted.collectors:
        words += ["--collector", collector]
    words += ["--dry-run"] if wanted.dry_run else []
    words += ["--token-file", f"{naming.FILES_DIR}/tokens/admin"]
    return [*words, "--summary-file", "/dev/termination-log"]


def _beside(context: Context, wanted: Wanted) -> dict[str, Any]:
    """Go to where the zone's shipper is, which holds the volume that is to be read."""
    backups = context.spec.backup
    if wanted.zone and wanted.shelf.claim and backups and backups.continuous:
        return {"affinity": backup.beside(context, wanted.zone, context.spec.template.affinity)}
    return {}


def job(context: Context, wanted: Wanted, collectors: Mapping[str, int]) -> Manifest:
    """Build the job; ``collectors`` are the replicas that there are in each zone."""
    manifest = base(
        context, ("batch/v1", "Job"), name(context, wanted), naming.RESTORE, zone=wanted.zone
    )
    manifest["metadata"]["annotations"] = {naming.REQUEST: wanted.request}
    command = _command(context, wanted, collectors)
    own = backup.pod_spec(context, naming.RESTORE, command, wanted.shelf, writes=False)
    ours = context.spec.backup
    for zone in collectors if ours and ours.continuous else ():
        if wanted.shelf.claim == context.names.backup(zone):
            own["affinity"] = backup.beside(context, zone, context.spec.template.affinity)
    own |= _beside(context, wanted)
    spec: dict[str, Any] = {
        "backoffLimit": _RETRIES,
        "activeDeadlineSeconds": _LONGEST_SECONDS,
        "template": pod.template(context, naming.RESTORE, own, wanted.zone),
    }
    if wanted.evidence:
        # Nobody takes back what asked for it.
        spec["ttlSecondsAfterFinished"] = _KEPT_SECONDS
    manifest["spec"] = spec
    return manifest
