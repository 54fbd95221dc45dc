"""Which collectors there are, and which should run: told by StatefulSets, pods and volumes."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from usage_operator import naming
from usage_operator.manifests import Claim, Known
from usage_operator.manifests import secrets as material
from usage_operator.plan import (
    Fleet,
    Owner,
    Ref,
    empty,
    existing,
    ingests,
    mark,
    muster,
    never_bound,
    owner,
    place,
    word,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from usage_operator.manifests import Context, restore
    from usage_operator.plan import Object
    from usage_operator.reconcile.observe import Observed
    from usage_operator.reconcile.references import References
    from usage_operator.spec import Resource


def _volumes(observed: Observed, name: str, uid: str) -> list[Object]:
    """Give the claims of a resource's collectors, less those that go with an earlier resource."""
    return [
        claim
        for claim in observed.of("PersistentVolumeClaim")
        if place(claim) and owner(claim, name, uid) is Owner.OURS
    ]


def _selector(claim: Object) -> dict[str, str] | None:
    text = (claim["metadata"].get("annotations") or {}).get(naming.NODE_SELECTOR)
    with contextlib.suppress(ValueError):
        found = json.loads(text or "null")
        if isinstance(found, dict):
            return {str(key): str(value) for key, value in found.items()}
    return None


def _claims(objects: Iterable[Object], emptied: Collection[str]) -> list[Claim]:
    """Read what claims say of themselves and their zones."""
    return [
        Claim(
            *where,
            size=one["spec"]["resources"]["requests"]["storage"],
            storage_class=one["spec"].get("storageClassName"),
            node_selector=_selector(one),
            bound=not never_bound(one),
            emptied=mark(one, naming.DISCARDED) == naming.EMPTIED or word(*where) in emptied,
        )
        for one in objects
        if (where := place(one))
    ]


def fleet(observed: Observed, resource: Resource, emptied: frozenset[str] = frozenset()) -> Fleet:
    """Decide which collectors run; those that were ``emptied`` need not."""
    volumes = _volumes(observed, resource.name, resource.uid)
    counts = existing(observed.of("StatefulSet"), observed.collectors, volumes)
    return muster(resource.wanted, counts, resource.annotations, empty(volumes) | emptied)


def standing(observed: Observed, name: str, uid: str) -> Fleet:
    """Give the collectors that there are, whatever the spec wants."""
    volumes = _volumes(observed, name, uid)
    return Fleet(existing(observed.of("StatefulSet"), observed.collectors, volumes), {}, ())


def _proxied(context: Context, observed: Observed) -> bool:
    """Tell whether the Service may lead to proxies: without one it leads to the collectors."""
    there = observed.objects.get(Ref("Deployment", context.names.proxy))
    available = ((there or {}).get("status") or {}).get("availableReplicas") or 0
    return context.spec.ingest.proxy is not None and available > 0


def known(
    context: Context,
    observed: Observed,
    fleet: Fleet,
    references: References,
    emptied: Collection[str] = (),
    restores: Sequence[restore.Wanted] = (),
) -> Known:
    """Put together what has a say in what is desired."""
    names, resource = context.names, context.resource
    return Known(
        collectors=fleet.running,
        secrets={
            secret["metadata"]["name"]: material.decode(secret) for secret in observed.of("Secret")
        },
        claims=_claims(_volumes(observed, resource.name, resource.uid), emptied),
        templates={
            zone: there["spec"].get("volumeClaimTemplates") or []
            for zone in fleet.leaving
            if (there := observed.objects.get(Ref("StatefulSet", names.zone(zone))))
        },
        proxied=_proxied(context, observed),
        restores=restores,
        labelled=all(ingests(pod) for pod in observed.collectors),
        trusted=[one for one in references.trusted if one],
    )
