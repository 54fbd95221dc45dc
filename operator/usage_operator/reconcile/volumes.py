"""Claims that exist: what of them cannot be changed, and where the spec asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usage_operator import naming, quantities
from usage_operator.plan import classed, place, ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from usage_operator.plan import Object, Ref
    from usage_operator.spec import Spec


def kept(desired: Sequence[Object], observed: Mapping[Ref, Object]) -> list[Object]:
    """Let claims that are desired be what they can be: of the class they have, and never smaller.

    A class can only be given to a claim that has neither one nor a volume, which the API server
    allows since Kubernetes 1.26 (``RetroactiveDefaultStorageClass``).
    """
    return [
        _kept(one, observed[ref(one)])
        if one["kind"] == "PersistentVolumeClaim" and ref(one) in observed
        else one
        for one in desired
    ]


def _kept(desired: Object, there: Object) -> Object:
    sizes = [one["spec"]["resources"]["requests"]["storage"] for one in (desired, there)]
    size = {"resources": {"requests": {"storage": max(sizes, key=quantities.parse)}}}
    made = desired | {"spec": desired["spec"] | size}
    has = there["spec"].get("storageClassName")
    if has is not None and classed(there):
        # To leave out what was applied would be to take it away.
        made["spec"]["storageClassName"] = has
    elif has is not None or there["spec"].get("volumeName"):
        # What others chose stays theirs: the operator of the version before leaves it out.
        made["spec"].pop("storageClassName", None)
    return made


def _wanted(spec: Spec, claim: Object) -> tuple[str, str | None]:
    """Give the storage class that the spec asks for, and the field that does.

    Nothing is asked of claims that only stay, as those of zones that left the spec do.
    """
    labels = claim["metadata"]["labels"]
    component, zones = labels.get(naming.COMPONENT), {zone.name for zone in spec.zones}
    if component == naming.EXPORT and spec.export.volume and not spec.export.volume.claim_name:
        field = "storageClassName of the volume in spec.export.destinations"
        return field, spec.export.volume.storage_class_name
    volume = spec.backup.destination.volume if spec.backup else None
    if component == naming.BACKUP and volume and labels.get(naming.ZONE) in zones:
        return "spec.backup.destination.volume.storageClassName", volume.storage_class_name
    where = place(claim) if component == naming.COLLECTOR else None
    for index, zone in enumerate(spec.zones):
        if where and where[0] == zone.name and where[1] < zone.replicas:
            own = f"spec.zones[{index}].storageClassName"
            field = own if zone.storage_class_name else "spec.storage.storageClassName"
            return field, spec.storage_class(zone)
    return "", None


def differing(spec: Spec, claims: Iterable[Object]) -> tuple[str, ...]:
    """Say which claims are of another storage class than the spec asks for."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for claim in claims:
        field, wanted = _wanted(spec, claim)
        there = claim["spec"].get("storageClassName")
        if there is None and claim["spec"].get("volumeName"):
            there = ""
        if wanted and there is not None and there != wanted:
            found.setdefault((field, wanted, there), []).append(claim["metadata"]["name"])
    return tuple(
        f"{field} asks for {wanted}, but {', '.join(sorted(names))} "
        f"{'is' if len(names) == 1 else 'are'} of {there or 'no class'}: put that back, or move to "
        "a new volume as docs/operations.md says under Volumes"
        for (field, wanted, there), names in found.items()
    )
