"""Everything that exists for one resource, read from the API."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from usage_operator import errors, naming
from usage_operator.plan import Ref, ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from usage_operator.kube import Client, Mirror
    from usage_operator.plan import Object

_LISTED = (
    *("StatefulSet", "Deployment", "Service", "ConfigMap", "ServiceAccount"),
    *("PersistentVolumeClaim", "PodDisruptionBudget", "CronJob", "NetworkPolicy"),
)


@dataclass(frozen=True, slots=True)
class Observed:
    """Objects with our labels, and those that have a name we want.

    Pods and jobs stand apart, but for the jobs of restores: those are made like all else.
    """

    objects: dict[Ref, Object] = field(default_factory=dict)
    collectors: list[Object] = field(default_factory=list)
    export_pods: list[Object] = field(default_factory=list)
    jobs: list[Object] = field(default_factory=list)
    backup_pods: list[Object] = field(default_factory=list)
    backup_jobs: list[Object] = field(default_factory=list)
    restore_pods: list[Object] = field(default_factory=list)
    offered: frozenset[str] = frozenset()
    """The kinds of other projects that the cluster knows, and lists."""
    silent: Mapping[str, errors.ApiError] = field(default_factory=dict)
    """Those that it knows but does not list now, and why."""

    def of(self, kind: str) -> list[Object]:
        """Give the objects of a kind."""
        return [thing for key, thing in self.objects.items() if key.kind == kind]


def _component(things: Iterable[Object], component: str) -> list[Object]:
    return [
        thing for thing in things if thing["metadata"]["labels"].get(naming.COMPONENT) == component
    ]


async def _list(
    client: Client, mirror: Mirror | None, names: naming.Names, kind: str
) -> list[Object]:
    """List our objects of a kind: the mirror's, where it knows the kind."""
    known = mirror.list(kind, names.namespace, names.name) if mirror is not None else None
    if known is not None:
        return known
    labels = {naming.INSTANCE: names.name, naming.MANAGED_BY: naming.FIELD_MANAGER}
    return await client.list(kind, names.namespace, labels)


async def _others(
    client: Client, mirror: Mirror | None, names: naming.Names
) -> tuple[dict[str, list[Object]], dict[str, errors.ApiError]]:
    """List our objects of other projects' kinds, where the cluster knows them and lets us.

    Give also why it does not answer for a kind, as where the conversion webhook of its definition
    is broken: only who needs that kind has to mind.
    """
    found: dict[str, list[Object]] = {}
    silent: dict[str, errors.ApiError] = {}
    for kind in sorted(await client.offered()):
        # A definition may go at any time, and an older role does not name all kinds.
        with contextlib.suppress(errors.NotFound, errors.Forbidden):
            try:
                found[kind] = await _list(client, mirror, names, kind)
            except errors.ApiUnavailable as error:
                silent[kind] = error
    return found, silent


async def observe(client: Client, names: naming.Names, mirror: Mirror | None = None) -> Observed:
    """Read what belongs to a resource; the Secrets that are generated are got by name.

    They are not where a mirror shows nothing at all: creating them tells whether they are there.
    """
    kinds = (*_LISTED, "Pod", "Job")
    lists, (others, silent) = await asyncio.gather(
        asyncio.gather(*(_list(client, mirror, names, kind) for kind in kinds)),
        _others(client, mirror, names),
    )
    secrets: tuple[str, ...] = ()
    if mirror is None or any(lists):
        secrets = (names.keys, names.tokens, names.ca_key, names.tls)
    found = await asyncio.gather(*(client.get("Secret", names.namespace, name) for name in secrets))
    *listed, pods, jobs = lists
    listed += others.values()
    objects = {ref(thing): thing for things in listed for thing in things}
    objects |= {ref(job): job for job in _component(jobs, naming.RESTORE)}
    objects |= {ref(secret): secret for secret in found if secret is not None}
    return Observed(
        objects,
        collectors=_component(pods, naming.COLLECTOR),
        export_pods=_component(pods, naming.EXPORT),
        jobs=_component(jobs, naming.EXPORT),
        backup_pods=_component(pods, naming.BACKUP),
        backup_jobs=_component(jobs, naming.BACKUP),
        restore_pods=_component(pods, naming.RESTORE),
        offered=frozenset(others),
        silent=silent,
    )


async def complete(
    client: Client, namespace: str, observed: Observed, desired: Iterable[Object]
) -> None:
    """Add the objects of the names that are desired but were not seen: they may be another's."""
    missing = [ref(one) for one in desired if ref(one) not in observed.objects]
    found = await asyncio.gather(
        *(client.get(one.kind, namespace, one.name) for one in missing if one.kind != "Secret")
    )
    observed.objects.update({ref(thing): thing for thing in found if thing is not None})


async def further(client: Client, names: naming.Names, observed: Observed) -> None:
    """Add the Secret that is generated for webhooks only."""
    found = await client.get("Secret", names.namespace, names.webhooks_tls)
    if found is not None:
        observed.objects[ref(found)] = found
