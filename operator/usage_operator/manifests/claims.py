"""The collectors' volume claims: made by the StatefulSets, grown and owned from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usage_operator import naming, quantities
from usage_operator.manifests.metadata import Context, Manifest, base

if TYPE_CHECKING:
    from usage_operator.spec import Zone


def build(context: Context, zone: Zone, ordinal: int, requested: str) -> Manifest:
    """Build the fields of an existing claim that are ours: its size and its owner.

    ``requested`` is the size that the claim asks for now; a claim never shrinks.
    """
    owned = context.spec.storage.when_deleted == "Delete"
    kind = ("v1", "PersistentVolumeClaim")
    name = context.names.claim(zone.name, ordinal)
    manifest = base(context, kind, name, naming.COLLECTOR, zone=zone.name, owned=owned)
    wanted = context.spec.volume_size(zone)
    size = max(wanted, requested, key=quantities.parse)
    manifest["spec"] = {"resources": {"requests": {"storage": size}}}
    return manifest
