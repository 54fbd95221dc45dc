"""Facts → the whole status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from usage_operator.conditions import backups, checks, exports, restores
from usage_operator.spec.status import (
    CaBundle,
    Condition,
    Endpoints,
    LostVolume,
    Status,
    Summary,
    ZoneStatus,
    ZoneStorage,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from usage_operator.conditions.checks import Verdict
    from usage_operator.conditions.facts import Facts, ZoneFacts

_LONGEST_MESSAGE = 2000
_CHECKS = (
    ("Ready", checks.ready),
    ("Progressing", checks.progressing),
    ("Degraded", checks.degraded),
)


def _condition(kind: str, verdict: Verdict, facts: Facts, before: Mapping[str, Any]) -> Condition:
    """Build a condition; the time is that of the last change of its status."""
    old: Mapping[str, Any] = next(
        (one for one in before.get("conditions") or [] if one.get("type") == kind), {}
    )
    since = old.get("lastTransitionTime")
    if old.get("status") != verdict.status or not since:
        since = facts.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return Condition(
        type=kind,
        status=verdict.status,
        observed_generation=facts.generation,
        last_transition_time=since,
        reason=verdict.reason,
        message=verdict.message[:_LONGEST_MESSAGE],
    )


def _zone(zone: ZoneFacts, before: Mapping[str, Any]) -> ZoneStatus:
    """Build a zone's row; what it said of itself last time stands until it is asked again."""
    old: Mapping[str, Any] = next(
        (one for one in before.get("zones") or [] if one.get("name") == zone.name), {}
    )
    said, storage = zone.said, old.get("storage")
    version, damaged, lost = old.get("version"), old.get("damaged"), old.get("lost")
    if said is not None:
        lost = lost if said.lost is None else [one._asdict() for one in said.lost]
        damaged = damaged if said.damaged is None else said.damaged
        version = said.version or version
        if said.used and said.capacity:
            storage = {"used": said.used, "capacity": said.capacity, "fullOn": said.full_on}
    return ZoneStatus(
        name=zone.name,
        replicas=zone.replicas,
        ready=zone.ready,
        leaving=True if zone.leaving else None,
        waits_for=zone.waits,
        version=version,
        storage=ZoneStorage.model_validate(storage) if storage else None,
        damaged=damaged or None,
        lost=[LostVolume.model_validate(one) for one in lost] if lost else None,
    )


def _summary(facts: Facts) -> Summary:
    full = sum(zone.ready >= zone.replicas for zone in facts.zones)
    ready = sum(zone.ready for zone in facts.zones)
    wanted = sum(zone.replicas for zone in facts.zones)
    return Summary(zones=f"{full}/{len(facts.zones)}", replicas=f"{ready}/{wanted}")


def judge(facts: Facts, before: Mapping[str, Any]) -> Status:
    """Build the status; ``before`` is the one that stands there now."""
    kept, brought = backups.rows(facts, before), restores.rows(facts, before)
    back = restores.restored(facts, brought)
    return Status(
        observed_generation=facts.generation,
        conditions=[
            *(_condition(kind, check(facts), facts, before) for kind, check in _CHECKS),
            _condition("Exported", exports.exported(facts, before), facts, before),
            _condition("BackedUp", backups.backed_up(facts, kept), facts, before),
            _condition("BackupVerified", backups.verified(facts, kept), facts, before),
            *([_condition("Restored", back, facts, before)] if back else []),
        ],
        summary=_summary(facts),
        zones=[_zone(zone, before) for zone in facts.zones],
        endpoints=Endpoints(
            ingest=facts.endpoints[0], reporting=facts.endpoints[1], webhooks=facts.webhooks
        )
        if facts.endpoints
        else None,
        ca_bundle=CaBundle(config_map=facts.ca_bundle) if facts.ca_bundle else None,
        last_backup=backups.last(kept),
        backups=kept,
        restores=brought,
        last_export=exports.last(facts, before),
        next_export=exports.following(facts),
    )
