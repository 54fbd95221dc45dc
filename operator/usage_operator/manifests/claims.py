"""The collectors' volume claims: made by the StatefulSets, grown and owned from here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from usage_operator import naming
from usage_operator.manifests.metadata import Context, Manifest, base
from usage_operator.spec import Zone

if TYPE_CHECKING:
    from collections.abc import Mapping


class Claim(NamedTuple):
    """A claim that exists: whose it is, and what it says of its zone."""

    zone: str
    ordinal: int
    size: str
    storage_class: str | None = None
    node_selector: Mapping[str, str] | None = None
    bound: bool = True
    """Whether it ever had a volume."""
    emptied: bool = False
    """Whether its collector was removed after all that it held had been sent."""


def _build(context: Context, claim: Claim, size: str, annotations: dict[str, str]) -> Manifest:
    owned = context.spec.storage.when_deleted == "Delete"
    kind = ("v1", "PersistentVolumeClaim")
    name = context.names.claim(claim.zone, claim.ordinal)
    manifest = base(context, kind, name, naming.COLLECTOR, zone=claim.zone, owned=owned)
    if annotations:
        manifest["metadata"]["annotations"] = annotations
    manifest["spec"] = {"resources": {"requests": {"storage": size}}}
    return manifest


def build(context: Context, zone: Zone, claim: Claim) -> Manifest:
    """Build the fields of an existing claim that are ours: its size, class, owner, selector.

    What of them cannot be changed any more is seen to later.
    """
    annotations = {}
    if zone.node_selector:
        annotations[naming.NODE_SELECTOR] = json.dumps(zone.node_selector, sort_keys=True)
    manifest = _build(context, claim, context.spec.volume_size(zone), annotations)
    if storage_class := context.spec.storage_class(zone):
        manifest["spec"]["storageClassName"] = storage_class
    return manifest


def discarded(context: Context, claim: Claim) -> Manifest:
    """Build the claim of a collector that was removed: it stays, and nobody waits for it."""
    mark = naming.EMPTIED if claim.emptied else "true"
    return _build(context, claim, claim.size, {naming.DISCARDED: mark})


def zone(claim: Claim, replicas: int) -> Zone:
    """Tell from a claim what its zone was, where the spec does not tell any more."""
    told = {
        "name": claim.zone,
        "replicas": replicas,
        "size": claim.size,
        "storageClassName": claim.storage_class,
        "nodeSelector": claim.node_selector,
    }
    return Zone.model_validate(told)
