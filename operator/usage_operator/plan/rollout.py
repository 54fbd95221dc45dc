"""The order in which zones take a changed pod template: one at a time, unready ones first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usage_operator import naming
from usage_operator.plan.objects import Object, mark

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence


def ready(statefulset: Object) -> bool:
    """Tell whether all replicas of a StatefulSet are ready and at the newest revision."""
    status = statefulset.get("status") or {}
    replicas = statefulset["spec"].get("replicas", 1)
    return (
        not rolling(statefulset)
        and status.get("readyReplicas", 0) >= replicas
        and status.get("updatedReplicas", 0) >= replicas
    )


def rolling(statefulset: Object) -> bool:
    """Tell whether a StatefulSet is still taking up its newest pod template.

    One whose pods are down for another reason is not: its revision was reached before.
    """
    status = statefulset.get("status") or {}
    return bool(
        status.get("observedGeneration", 0) < statefulset["metadata"].get("generation", 0)
        or status.get("currentRevision") != status.get("updateRevision")
    )


def soaking(statefulset: Object) -> bool:
    """Tell whether all replicas are ready, but some not for ``minReadySeconds`` yet."""
    status = statefulset.get("status") or {}
    replicas = statefulset["spec"].get("replicas", 1)
    return bool(status.get("readyReplicas", 0) >= replicas > status.get("availableReplicas", 0))


def failing(pods: Iterable[Object]) -> frozenset[str]:
    """Name the StatefulSets with a pod that was ready once and ended by itself.

    A lost node is not that: its pods' containers go on, as far as anybody knows.
    """
    found = set()
    for pod in pods:
        for container in (pod.get("status") or {}).get("containerStatuses") or []:
            ended = [
                (container.get(kind) or {}).get("terminated") for kind in ("state", "lastState")
            ]
            if any(ended) and not container.get("ready"):
                found.add(str(pod["metadata"]["name"]).rpartition("-")[0])
    return frozenset(found)


def changed(desired: Object, observed: Object) -> bool:
    """Tell whether a stamped manifest has another pod template than the object was given."""
    return mark(desired, naming.TEMPLATE_HASH) != mark(observed, naming.TEMPLATE_HASH)


def held(
    pairs: Sequence[tuple[Object, Object]],
    failed: Collection[str] = (),
    closed: str | None = None,
) -> Mapping[str, str]:
    """Tell which StatefulSets have to wait with their new template, and for what.

    ``pairs`` are stamped manifests with the objects observed, in the order of the spec;
    ``failed`` names those whose pods ended by themselves; ``closed`` says why none that serves
    may be disturbed now.
    """
    waiting = [(new, old) for new, old in pairs if changed(new, old)]
    busy = [
        new["metadata"]["name"]
        for new, old in pairs
        if not changed(new, old)
        and (rolling(old) or soaking(old) or new["metadata"]["name"] in failed)
    ]
    result: dict[str, str] = {}
    for new, old in sorted(waiting, key=lambda pair: ready(pair[1])):
        name = new["metadata"]["name"]
        if not ready(old) and rolling(old):
            # Its own rollout is what is under way: a corrected template must reach it.
            busy.append(name)
        elif closed and ready(old):
            result[name] = closed
        elif busy:
            result[name] = f"waits for {busy[0]} to be ready"
        else:
            busy.append(name)
    return result
