"""The resource's fields, defaults and problems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pydantic

from usage_operator import errors, naming
from usage_operator.spec import destinations, limits, restoring, webhooks
from usage_operator.spec.delivery import Backup, BackupBucket, BackupVolume, Encryption
from usage_operator.spec.destinations import Destination, ExportBucket, ExportMail, ExportSite
from usage_operator.spec.limits import AlertHook, Limits
from usage_operator.spec.listeners import ClientCa, IssuerRef
from usage_operator.spec.model import Spec, Zone
from usage_operator.spec.restoring import RestoreSource

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AlertHook",
    "Backup",
    "BackupBucket",
    "BackupVolume",
    "ClientCa",
    "Destination",
    "Encryption",
    "ExportBucket",
    "ExportMail",
    "ExportSite",
    "IssuerRef",
    "Limits",
    "Resource",
    "RestoreSource",
    "Spec",
    "Zone",
    "parse",
]


@dataclass(frozen=True, slots=True)
class Resource:
    """One UsageCollector as it was read."""

    name: str
    namespace: str
    uid: str
    generation: int
    spec: Spec
    annotations: Mapping[str, str]

    @property
    def wanted(self) -> dict[str, int]:
        """Give the collectors that the spec wants in each zone."""
        return {zone.name: zone.replicas for zone in self.spec.zones}


def _field(location: tuple[int | str, ...]) -> str:
    """Write a place in the resource as people do: spec.zones[0].name."""
    text = "spec"
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text


def _message(problem: Any) -> str:
    text = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        text = "unknown field: remove it, or upgrade the operator if it is a newer one's"
    return f"{_field(problem['loc'])}: {text}"


def _name_problems(name: str, spec: Spec) -> list[str]:
    problems = []
    if len(name) > naming.MAX_NAME or not name[:1].isalpha() or "." in name:
        problems.append(
            f"metadata.name: {name!r} must have at most {naming.MAX_NAME} lower-case letters, "
            "digits and '-', and begin with a letter: choose another name"
        )
    problems += [
        f"spec.zones[{index}].name: {name}-{zone.name} has more than {naming.MAX_SET_NAME} "
        "characters: shorten one of the names"
        for index, zone in enumerate(spec.zones)
        if len(name) + 1 + len(zone.name) > naming.MAX_SET_NAME
    ]
    return problems


def _exclusions(spec: Spec) -> list[str]:
    problems = []
    if spec.ingest.tls.secret_name and spec.ingest.tls.dns_names:
        problems.append("spec.ingest.tls: dnsNames and secretName exclude each other: remove one")
    if spec.ingest.tls.secret_name and spec.ingest.tls.issuer_ref:
        problems.append("spec.ingest.tls: issuerRef and secretName exclude each other: remove one")
    mutual = spec.ingest.tls.client_ca
    if mutual and bool(mutual.secret_name) == bool(mutual.config_map_name):
        problems.append("spec.ingest.tls.clientCA: give either secretName or configMapName")
    if spec.ingest.port == spec.reporting.port:
        problems.append("spec.reporting.port: is ingest.port too: choose another port")
    problems += destinations.problems(spec.export.destinations)
    problems += limits.problems(spec.limits)
    problems += webhooks.problems(spec.webhooks, (spec.ingest.port, spec.reporting.port))
    problems += restoring.problems(spec.restore)
    return problems


def parse(document: Mapping[str, Any]) -> Resource:
    """Read a UsageCollector; InvalidSpec lists every problem with its field and remedy."""
    metadata = document.get("metadata", {})
    try:
        spec = Spec.model_validate(document.get("spec") or {})
    except pydantic.ValidationError as error:
        raise errors.InvalidSpec([_message(problem) for problem in error.errors()]) from error
    name = str(metadata.get("name", ""))
    problems = _name_problems(name, spec) + _exclusions(spec)
    if problems:
        raise errors.InvalidSpec(problems)
    return Resource(
        name=name,
        namespace=str(metadata.get("namespace") or "default"),
        uid=str(metadata.get("uid", "")),
        generation=int(metadata.get("generation", 1)),
        spec=spec,
        annotations=metadata.get("annotations") or {},
    )
