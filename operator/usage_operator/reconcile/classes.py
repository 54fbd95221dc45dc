"""Storage classes: whether those that the resource names are there, and whose volumes lack one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from usage_operator import errors, naming
from usage_operator.conditions import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from usage_operator.kube import Client
    from usage_operator.plan import Object, Plan, Ref, Step
    from usage_operator.spec import Spec

_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_FIELDS = {
    naming.COLLECTOR: "spec.storage.storageClassName",
    naming.EXPORT: "storageClassName of the volume in spec.export.destinations",
    naming.BACKUP: "spec.backup.destination.volume.storageClassName",
}
"""Where the storage class of each component's volumes is chosen."""


class Lack(NamedTuple):
    """A storage class that is not there, with the component whose volumes should be of it.

    ``name`` is None where the cluster's default is meant.
    """

    component: str
    name: str | None
    trouble: Trouble


def _named(spec: Spec) -> list[tuple[str, str, str]]:
    """List component, field and storage class of all volumes that name one."""
    found = [
        (naming.COLLECTOR, f"spec.zones[{index}].storageClassName", zone.storage_class_name)
        for index, zone in enumerate(spec.zones)
    ]
    found.append((naming.COLLECTOR, _FIELDS[naming.COLLECTOR], spec.storage.storage_class_name))
    if spec.backup and (volume := spec.backup.destination.volume):
        found.append((naming.BACKUP, _FIELDS[naming.BACKUP], volume.storage_class_name))
    found += [
        (
            naming.EXPORT,
            f"spec.export.destinations[{index}].volume.storageClassName",
            one.volume.storage_class_name,
        )
        for index, one in enumerate(spec.export.destinations)
        if one.volume
    ]
    return [(component, field, name) for component, field, name in found if name]


async def check(client: Client, spec: Spec) -> list[Lack]:
    """Look up every storage class that the resource names; give those that are not there."""
    found: list[Lack] = []
    there: dict[str, bool] = {}
    for component, field, name in _named(spec):
        try:
            if name not in there:
                there[name] = await client.exists("StorageClass", name)
        except errors.Forbidden:
            # Not every installation grants this; a missing class shows as unbound claims then.
            return []
        if not there[name]:
            text = f"{field}: there is no storage class {name}: choose one of kubectl get sc"
            found.append(Lack(component, name, Trouble("StorageClassMissing", text)))
    return found


def of(lacking: Iterable[Lack], component: str) -> tuple[Trouble, ...]:
    """Give what there is to tell of one component."""
    return tuple(lack.trouble for lack in lacking if lack.component == component)


def withhold(plan: Plan, lacking: Iterable[str], there: Mapping[Ref, Object]) -> None:
    """Give no claim a class that is not there: a claim's class cannot be corrected.

    A claim that has it already outlives it, and is still grown and marked.
    """
    names = set(lacking)

    def given(step: Step) -> bool:
        name = step.document["spec"].get("storageClassName")
        has = step.ref in there and there[step.ref]["spec"].get("storageClassName")
        return name in names and has != name

    plan.steps[:] = [
        step for step in plan.steps if step.ref.kind != "PersistentVolumeClaim" or not given(step)
    ]


def unbound(claims: Iterable[Object]) -> list[str]:
    """Name the components of which a claim without a storage class waits for a volume.

    Claims of others, which are seen where they have a name that we want, may have any labels.
    """
    waiting = [
        claim["metadata"].get("labels") or {}
        for claim in claims
        if (claim.get("status") or {}).get("phase") == "Pending"
        and not claim["spec"].get("storageClassName")
    ]
    components = {
        labels.get(naming.COMPONENT)
        for labels in waiting
        if labels.get(naming.MANAGED_BY) == naming.FIELD_MANAGER
    }
    return [one for one in sorted(_FIELDS) if one in components]


async def default(client: Client, claims: Iterable[Object]) -> list[Lack]:
    """Tell which components' claims wait because the cluster has no default storage class."""
    waiting = unbound(claims)
    if not waiting:
        return []
    try:
        there = await client.list("StorageClass", None)
    except errors.Forbidden:
        return []
    if any((one["metadata"].get("annotations") or {}).get(_DEFAULT) == "true" for one in there):
        return []
    hint = (
        "is not set, and the cluster has no default storage class: set it to one of kubectl get sc"
    )
    return [
        Lack(one, None, Trouble("StorageClassMissing", f"{_FIELDS[one]}: {hint}"))
        for one in waiting
    ]
