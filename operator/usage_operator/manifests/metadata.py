"""What all objects have in common: names, labels, owners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from usage_operator import naming

if TYPE_CHECKING:
    from usage_operator.spec import Resource, Spec

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Context:
    """The resource whose objects are built, and what the operator's settings add."""

    resource: Resource
    image: str
    cluster_domain: str = "cluster.local"

    @property
    def spec(self) -> Spec:
        """Give what is wanted."""
        return self.resource.spec

    @property
    def names(self) -> naming.Names:
        """Give the names of the resource's objects."""
        return naming.Names(self.resource.name, self.resource.namespace, self.cluster_domain)

    @property
    def collector_image(self) -> str:
        """Give the image of collectors and export jobs."""
        return self.spec.image or self.image


def owner(context: Context) -> dict[str, Any]:
    """Refer to the resource, so that what it owns goes with it."""
    return {
        "apiVersion": naming.API_VERSION,
        "kind": naming.KIND,
        "name": context.resource.name,
        "uid": context.resource.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def base(
    context: Context,
    kind: tuple[str, str],
    name: str,
    component: str,
    *,
    zone: str | None = None,
    owned: bool = True,
) -> Manifest:
    """Begin an object: kind is its API version and kind; owned objects go with the resource."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": context.resource.namespace,
        "labels": context.names.labels(component, zone),
    }
    if owned:
        metadata["ownerReferences"] = [owner(context)]
    return {"apiVersion": kind[0], "kind": kind[1], "metadata": metadata}
