"""Carries out the steps of a plan, and tells people of what they should notice."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from usage_operator import errors, metrics, naming
from usage_operator.conditions import Trouble
from usage_operator.plan import Owner, Verb, owner

if TYPE_CHECKING:
    import datetime as dt

    from usage_operator.kube import Client
    from usage_operator.plan import Object, Plan, Step
    from usage_operator.spec import Resource

_log = logging.getLogger(__name__)


async def _take(client: Client, step: Step) -> None:
    if step.verb is Verb.CREATE:
        # What somebody made in this very moment must not be overwritten, keys least of all.
        await client.create(step.document)
    elif step.verb is Verb.APPLY:
        if step.adopt:
            await client.adopt(step.document)
        await client.apply(step.document)
    else:
        orphan = step.verb is Verb.ORPHAN
        await client.delete(step.document, "Orphan" if orphan else "Background")
    metrics.WRITES.labels(step.verb, step.ref.kind).inc()


async def _taken(client: Client, step: Step, resource: Resource) -> bool:
    """Tell whether the name of what was to be created is another's."""
    if step.verb is not Verb.CREATE:
        return False
    there = await client.get(step.ref.kind, resource.namespace, step.ref.name)
    return there is not None and owner(there, resource.name, resource.uid) is Owner.TAKEN


async def execute(
    client: Client, resource: Resource, plan: Plan, *, stubborn: bool = False
) -> tuple[list[Step], list[Trouble]]:
    """Take the steps in their order; give those taken, and which are refused as they are.

    A refusal does not keep the other steps from being taken, but nothing is pruned after one. A
    name that turns out to be another's ends the pass, and is added to the plan's.
    What may work later (conflicts, an API server that is down) is raised; ``stubborn``: not what
    the API server fails over, which counts as refused then.
    """
    where = f"{resource.namespace}/{resource.name}"
    taken: list[Step] = []
    troubles: list[Trouble] = []
    refusals = (errors.Rejected, errors.Forbidden, *((errors.Failing,) if stubborn else ()))

    async def attempt(step: Step) -> None:
        try:
            await _take(client, step)
        except refusals as error:
            troubles.append(Trouble("ApplyFailed", f"{step.ref} could not be written: {error}"))
        else:
            taken.append(step)
            _log.info("%s: %s", where, step)

    for step in plan.steps:
        try:
            await attempt(step)
        except errors.Conflict:
            if not await _taken(client, step, resource):
                raise
            plan.taken.append(step.ref)
            return taken, troubles
    if troubles or plan.taken:
        return taken, troubles
    for step in plan.prunes:
        await attempt(step)
    return taken, troubles


async def tell(
    client: Client,
    about: Object,
    now: dt.datetime,
    name: str,
    *,
    reason: str,
    note: str,
    warn: bool,
) -> None:
    """Record a Kubernetes Event; ``name`` makes it one, however often it is told.

    An Event is a courtesy: whatever keeps it from being recorded is only logged.
    """
    metadata = about["metadata"]
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": metadata["namespace"]},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": f"{naming.GROUP}/{naming.FIELD_MANAGER}",
        "reportingInstance": naming.FIELD_MANAGER,
        "action": "Reconcile",
        "reason": reason,
        "note": note[:1000],
        "type": "Warning" if warn else "Normal",
        "regarding": {
            "apiVersion": naming.API_VERSION,
            "kind": naming.KIND,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            **({"uid": metadata["uid"]} if metadata.get("uid") else {}),
        },
    }
    try:
        await client.create(event)
    except errors.ApiError as error:
        _log.debug("no event %s: %s", name, error)
