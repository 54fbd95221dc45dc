"""A resource whose spec cannot be read: what stands, and what was known of it, is told on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from usage_operator.conditions import Trouble
from usage_operator.reconcile import census, filling, survey

if TYPE_CHECKING:
    from usage_operator import naming
    from usage_operator.conditions import Facts
    from usage_operator.errors import InvalidSpec
    from usage_operator.plan import Object
    from usage_operator.reconcile.observe import Observed


def tell(
    facts: Facts, document: Object, seen: Observed, names: naming.Names, error: InvalidSpec
) -> Facts:
    """Add what can be told of collectors, exports and backups that go on as they were.

    Which zones are backed up is told by their CronJobs; addresses are those of the status.
    """
    before = document.get("status") or {}
    standing = census.standing(seen, names.name, document["metadata"]["uid"])
    zones = survey.zones(seen, standing, names, facts.now)
    backed = survey.backed_zones(seen)
    known = before.get("endpoints")
    return replace(
        facts,
        blocked=Trouble("InvalidSpec", f"{error}; what runs is left alone"),
        zones=zones,
        filling=filling.tell(zones, before),
        damaged=survey.damaged(zones, before),
        lost=survey.lost(names, bool(backed), zones, before),
        runs=survey.export_runs(seen),
        backups=survey.backup_runs(seen),
        backed_zones=backed,
        restores=survey.restore_runs(seen),
        next_export=survey.known_export(before),
        endpoints=(known["ingest"], known["reporting"]) if known else None,
        webhooks=known.get("webhooks") if known else None,
        ca_bundle=(before.get("caBundle") or {}).get("configMap"),
    )
