"""Desired and observed objects → steps, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from usage_operator import naming
from usage_operator.plan import drift, rollout
from usage_operator.plan.objects import Object, Owner, Ref, mark, owner, posted, ref, stamped

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

PRUNED = frozenset(
    {
        *("StatefulSet", "Service", "ConfigMap", "ServiceAccount", "PodDisruptionBudget"),
        *("CronJob", "NetworkPolicy", "Deployment", "Certificate", "PodMonitor", "PrometheusRule"),
        "Job",
    }
)
"""Kinds that are removed when they are not desired any more; never claims, never Secrets."""


class Verb(StrEnum):
    """What a step does."""

    CREATE = "create"
    APPLY = "apply"
    ORPHAN = "orphan"
    """Delete a StatefulSet but leave its pods to the one that takes its place."""
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Step:
    """One write, and why. ``document`` is the manifest, or for deletions what was observed.

    ``adopt``: it was created, not applied, so that an apply alone would take nothing away.
    """

    verb: Verb
    document: Object
    reason: str
    adopt: bool = False

    @property
    def ref(self) -> Ref:
        """Give the object that the step is about."""
        return ref(self.document)

    def __str__(self) -> str:
        return f"{self.verb} {self.ref}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, and what has to wait.

    ``taken``: names that belong to somebody else. ``waiting``: why a step was put off, by object.
    """

    steps: list[Step] = field(default_factory=list)
    prunes: list[Step] = field(default_factory=list)
    taken: list[Ref] = field(default_factory=list)
    waiting: dict[Ref, str] = field(default_factory=dict)


def _claims(statefulset: Object) -> Object:
    """Give the part of the claim templates that can differ."""
    return {
        one["metadata"]["name"]: {
            "storageClassName": one["spec"].get("storageClassName"),
            "requests": one["spec"]["resources"]["requests"],
        }
        for one in statefulset["spec"].get("volumeClaimTemplates") or []
    }


def _step(desired: Object, observed: Object | None) -> Step | None:
    """Decide on one object that is ours or missing."""
    if observed is None:
        return Step(Verb.CREATE, desired, "it is missing")
    if desired["kind"] == "Job":
        return None  # What runs or ran is not to be changed.
    if desired["kind"] == "StatefulSet":
        found = drift.find(_claims(desired), _claims(observed))
        if found:
            return Step(Verb.ORPHAN, observed, f"its claim template differs at {found}")
    found = drift.find(desired, observed)
    if found is None:
        return None
    if mark(observed, naming.HASH) is None:
        return Step(Verb.APPLY, desired, "it has yet to get our fields")
    if found.endswith(naming.HASH) or mark(desired, naming.HASH) != mark(observed, naming.HASH):
        where = drift.find({**desired, "metadata": {}}, observed)
        reason = f"{where} is to change" if where else "what is desired has changed"
        return Step(Verb.APPLY, desired, reason)
    return Step(Verb.APPLY, desired, f"{found} was changed by somebody else")


def _pinned(step: Step, observed: Object | None) -> Step:
    """Let a Secret be written only over what was read: keys must never be overwritten unseen.

    All else is written only to the object that was seen, however long ago: what took its place
    may be another's. What we created becomes ours as what we apply is; whatever leaves a Secret
    was applied.
    """
    if step.verb is not Verb.APPLY or observed is None:
        return step
    secret = step.ref.kind == "Secret"
    pin = "resourceVersion" if secret else "uid"
    metadata = step.document["metadata"] | {pin: observed["metadata"].get(pin)}
    document = step.document | {"metadata": metadata}
    return replace(step, document=document, adopt=not secret and posted(observed))


def diff(
    desired: Sequence[Object],
    observed: Mapping[Ref, Object],
    *,
    name: str,
    uid: str,
    kept: Collection[Ref] = (),
    fixed: Collection[Ref] = (),
    failed: Collection[str] = (),
    closed: str | None = None,
) -> Plan:
    """Compare what should be with what is.

    ``name`` and ``uid`` are the resource's; ``kept`` are objects that stay although they are not
    desired; ``fixed`` are StatefulSets that must not be replaced now, whatever differs; for
    ``failed`` and ``closed`` see ``rollout.held``.
    """
    plan = Plan()
    wanted = {ref(one): stamped(one) for one in desired}
    pairs = [
        (one, observed[key])
        for key, one in wanted.items()
        if key.kind == "StatefulSet" and key in observed
    ]
    held = rollout.held(pairs, failed, closed)
    for key, one in wanted.items():
        there = observed.get(key)
        whose = owner(there, name, uid) if there else Owner.OURS
        if whose is Owner.TAKEN:
            plan.taken.append(key)
        elif whose is Owner.LEAVING:
            plan.waiting[key] = "is being deleted"
        elif key.kind == "StatefulSet" and key.name in held:
            plan.waiting[key] = held[key.name]
        elif step := _step(one, there):
            if step.verb is Verb.ORPHAN and key in fixed:
                plan.waiting[key] = "has collectors that are leaving: its volumes stay as they are"
            else:
                plan.steps.append(_pinned(step, there))
    plan.prunes.extend(
        Step(Verb.DELETE, there, "it is not wanted any more")
        for key, there in observed.items()
        if key.kind in PRUNED
        and key not in wanted
        and key not in kept
        and owner(there, name, uid) is Owner.OURS
    )
    return plan
