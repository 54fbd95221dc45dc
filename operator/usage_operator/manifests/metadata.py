"""What all objects have in common: names, labels, owners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from usage_operator import naming
from usage_operator.manifests import pki

if TYPE_CHECKING:
    import datetime as dt

    from usage_operator.spec import Resource, Spec

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Context:
    """The resource whose objects are built, and what the operator's settings add."""

    resource: Resource
    image: str
    cluster_domain: str = "cluster.local"
    ca_life: dt.timedelta = pki.CA_LIFE
    leaf_life: dt.timedelta = pki.LEAF_LIFE
    operator_namespace: str | None = None
    proxy_image: str = "haproxy"
    runbooks: str = "docs/operations.md"
    """Where alerts say that their runbooks are."""
    offered: frozenset[str] = frozenset()
    """The kinds of other projects that the cluster knows."""

    @property
    def spec(self) -> Spec:
        """Give what is wanted."""
        return self.resource.spec

    @property
    def names(self) -> naming.Names:
        """Give the names of the resource's objects."""
        return naming.Names(self.resource.name, self.resource.namespace, self.cluster_domain)

    @property
    def tls_secret(self) -> str:
        """Name the Secret with the collectors' certificate, whoever makes it."""
        tls = self.spec.ingest.tls
        if tls.issuer_ref:
            return self.names.issued
        return tls.secret_name or self.names.tls

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
