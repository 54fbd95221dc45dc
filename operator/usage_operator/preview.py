"""What would be done for a resource, and why, without doing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from usage_operator import errors, naming, spec
from usage_operator.kube import Client
from usage_operator.plan import Plan, muster
from usage_operator.reconcile import census, context_of, plan, survey, utc_now
from usage_operator.reconcile.observe import Observed, observe
from usage_operator.reconcile.references import References, check

if TYPE_CHECKING:
    from pathlib import Path

    from usage_operator.kube import Access
    from usage_operator.settings import Settings
    from usage_operator.spec import Resource


def _load(path: Path, namespace: str) -> dict[str, Any]:
    """Read the file's UsageCollector, with the namespace it would get."""
    try:
        documents = list(yaml.safe_load_all(path.read_text()))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise errors.OperatorError(
            f"{path} cannot be read ({error})", "give a YAML file"
        ) from error
    for document in documents:
        if isinstance(document, dict) and document.get("kind") == naming.KIND:
            metadata = document.get("metadata") or {}
            if not (isinstance(metadata, dict) and _named(metadata)):
                raise errors.OperatorError(
                    f"metadata of the {naming.KIND} in {path} cannot be read",
                    "give it a name, and annotations, if any, as a map",
                )
            return document | {"metadata": {"namespace": namespace} | metadata}
    raise errors.OperatorError(f"{path} holds no {naming.KIND}", "give a file that does")


def _named(metadata: dict[str, Any]) -> bool:
    name, annotations = metadata.get("name"), metadata.get("annotations")
    return bool(name) and isinstance(name, str) and isinstance(annotations or {}, dict)


def _text(plan: Plan, references: References, resource: Resource) -> str:
    pending = [references.pending] if references.pending else []
    taken = survey.taken(plan)
    if references.troubles:
        plan = Plan()
    elif pending:
        survey.confine(plan, "Certificate")
    lines = [f"{resource.namespace}/{resource.name}:"]
    blocked = (*references.troubles, *pending)
    lines += [f"  blocked: {trouble.message}" for trouble in blocked]
    spared = (*references.export_troubles, *references.backup_troubles, *references.alert_troubles)
    lines += [f"  {trouble.reason}: {trouble.message}" for trouble in (*taken, *spared)]
    if resource.spec.paused:
        lines.append("  paused: nothing of this is done while spec.paused is true")
    elif taken:
        lines.append("  blocked: nothing of this is done while another has that name")
    lines += [f"  {step}" for step in (*plan.steps, *plan.prunes)]
    lines += [f"  waits: {text}" for text in survey.waiting(plan)]
    if len(lines) == 1:
        lines.append("  nothing to do")
    return "\n".join(lines)


async def preview(path: Path, namespace: str, settings: Settings, access: Access | None) -> str:
    """Plan for the resource of a file, against a cluster or, without access, an empty one.

    InvalidSpec lists what is wrong with the file.
    """
    document, now = _load(path, namespace), utc_now()
    if access is None:
        resource = spec.parse(document)
        context = context_of(resource, settings, Observed())
        fleet = muster(resource.wanted, {}, resource.annotations)
        steps = await plan(None, context, Observed(), fleet, References(), now)
        return _text(steps, References(), resource)
    async with Client(access) as client:
        metadata = document["metadata"]
        names = naming.Names(metadata["name"], metadata["namespace"])
        live = await client.get(naming.KIND, names.namespace, names.name)
        if live is not None:
            document["metadata"] = live["metadata"] | metadata
        resource = spec.parse(document)
        seen = await observe(client, names)
        context = context_of(resource, settings, seen)
        fleet = census.fleet(seen, resource)
        references = await check(client, context, seen, list(fleet.running), now)
        steps = await plan(client, context, seen, fleet, references, now)
        return _text(steps, references, resource)
