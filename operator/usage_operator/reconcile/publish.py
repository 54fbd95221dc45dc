"""Writes the status when it changed, and says goodbye to what was deleted."""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING, Any

from usage_operator import errors, metrics, naming
from usage_operator.conditions import judge
from usage_operator.plan import digest, never_bound
from usage_operator.reconcile.execute import tell

if TYPE_CHECKING:
    from usage_operator.conditions import Facts
    from usage_operator.kube import Client
    from usage_operator.plan import Object
    from usage_operator.spec.status import Condition, Status

_log = logging.getLogger(__name__)

_GOOD = {
    "Ready": "True",
    "Degraded": "False",
    "Exported": "True",
    "BackedUp": "True",
    "BackupVerified": "True",
    "Restored": "True",
}
"""The conditions whose changes are told, and the status that is no reason to worry."""
_PASSING = {
    *("Applying", "RollingOut", "NotYet", "Running"),
    *("NoBackup", "BackupPending", "VerifyPending", "VerifyOff", "Restoring"),
}
"""Reasons that end by themselves: no news."""
_QUIET = {*_PASSING, "PodsNotReady", "ZonesNotReady", "Unreachable"}
"""Reasons that are no news either, while the condition's status stays as it is."""


def news(conditions: list[Condition], before: dict[str, Any]) -> list[Condition]:
    """Give the conditions whose status changed since the last time, if that says something."""
    old = {one["type"]: (one["status"], one["reason"]) for one in before.get("conditions") or []}

    def tells(one: Condition) -> bool:
        first = ("False", one.reason) if one.type == "Degraded" else (None, None)
        status, reason = old.get(one.type, first)
        if one.type not in _GOOD or one.reason in _PASSING:
            return False
        worse = one.reason != reason and one.reason not in _QUIET and one.status != _GOOD[one.type]
        return one.status != status or worse

    return [one for one in conditions if tells(one)]


def _measure(namespace: str, name: str, status: Status) -> None:
    """Let the metrics say what the status says; what is not asked for any more has no condition."""
    where = (namespace, name)
    reasons = {one.reason for one in status.conditions}
    states = {one.type: one.status for one in status.conditions}
    late = status.next_export is not None and bool(status.next_export.overdue)
    last = status.last_backup
    metrics.CONDITIONS.tell(
        *where,
        {
            (kind, one): state == one
            for kind, state in states.items()
            for one in ("True", "False", "Unknown")
        },
    )
    metrics.READY.tell(*where, states.get("Ready") == "True")
    metrics.EXPORT_OVERDUE.tell(*where, late)
    metrics.BACKUP_OVERDUE.tell(*where, "BackupOverdue" in reasons)
    metrics.PROOF_OVERDUE.tell(*where, "VerifyOverdue" in reasons)
    metrics.BACKUP_TIME.tell(*where, _seconds(last.time if last else None))
    metrics.PROOF_TIME.tell(*where, _seconds(last.verified if last else None))
    metrics.COLLECTORS.tell(
        *where,
        {
            ("wanted",): sum(zone.replicas for zone in status.zones),
            ("ready",): sum(zone.ready for zone in status.zones),
        },
    )


def _seconds(text: str | None) -> float | None:
    return dt.datetime.fromisoformat(text).timestamp() if text else None


def forget(namespace: str, name: str) -> None:
    """Let the metrics say nothing more of a resource."""
    for gauge in metrics.OF_RESOURCES:
        gauge.tell(namespace, name, None)


async def publish(client: Client, document: Object, facts: Facts) -> bool:
    """Judge the facts and write the status if it changed; tell whether the resource is Ready."""
    before = document.get("status") or {}
    metadata = document["metadata"]
    status = judge(facts, before)
    ready = any(one.type == "Ready" and one.status == "True" for one in status.conditions)
    _measure(metadata["namespace"], metadata["name"], status)
    wanted = status.document()
    if wanted == before:
        return ready
    patch = {
        "apiVersion": naming.API_VERSION,
        "kind": naming.KIND,
        # The uid keeps a status from a resource that was deleted and made anew meanwhile.
        "metadata": {key: metadata[key] for key in ("name", "namespace", "uid")},
        "status": wanted,
    }
    try:
        await client.apply(patch, part="status")
    except errors.NotFound:
        return ready
    metrics.WRITES.labels("status", naming.KIND).inc()
    for one in news(status.conditions, before):
        _log.info(
            "%s/%s: %s is %s (%s): %s",
            metadata["namespace"],
            metadata["name"],
            one.type,
            one.status,
            one.reason,
            one.message,
        )
        name = f"{metadata['name']}.{digest([one.type, one.status, facts.now.isoformat()])[:16]}"
        await tell(
            client,
            document,
            facts.now,
            name,
            reason=one.reason,
            note=f"{one.type} is {one.status}: {one.message}",
            warn=one.status not in {_GOOD[one.type], "Unknown"},
        )
    return ready


async def farewell(client: Client, namespace: str, name: str, now: dt.datetime) -> None:
    """Say which volumes of a deleted resource stay, and how to find them; once for each set."""
    forget(namespace, name)
    labels = {naming.INSTANCE: name, naming.MANAGED_BY: naming.FIELD_MANAGER}
    claims = [
        claim
        for claim in await client.list("PersistentVolumeClaim", namespace, labels)
        if not claim["metadata"].get("ownerReferences")
        and not claim["metadata"].get("deletionTimestamp")
        and not never_bound(claim)
    ]
    if not claims:
        return
    about = {"metadata": {"name": name, "namespace": namespace}}
    mark = digest(sorted(claim["metadata"]["uid"] for claim in claims))[:16]
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    note = (
        f"{name} was deleted; its volumes ({len(claims)}) stay, and are used again by a resource "
        f"of the same name: kubectl get pvc -n {namespace} -l {selector}"
    )
    await tell(client, about, now, f"{name}.{mark}", reason="VolumesKept", note=note, warn=False)
    _log.info("%s/%s: %s", namespace, name, note)
