"""The CustomResourceDefinition, generated from the models."""

from __future__ import annotations

from typing import Any

import yaml

from usage_operator import naming
from usage_operator.spec import rules
from usage_operator.spec.model import Spec
from usage_operator.spec.status import Status

_DROPPED = frozenset({"title", "$defs", "additionalProperties", "default"})
_READY = '.status.conditions[?(@.type=="Ready")]'


def _resolve(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Put a reference's target in its place; what stands beside the reference wins."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return {**definitions[reference.removeprefix("#/$defs/")], **beside}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """Turn "this or null" into the field ``nullable`` of Kubernetes."""
    options = schema.get("anyOf")
    if options is None:
        return schema
    (option,) = (one for one in options if one.get("type") != "null")
    beside = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**option, **beside, "nullable": True}


def _without_nulls(value: Any) -> Any:
    """Leave out what is not set."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def structural(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Turn a JSON schema of pydantic into a structural schema of Kubernetes.

    Objects that can be left out default to ``{}``, so that their own fields' defaults apply.
    Source: "Specifying a structural schema" in the Kubernetes documentation on
    CustomResourceDefinitions.
    """
    schema = _resolve(_nullable(_resolve(schema, definitions)), definitions)
    result = {key: value for key, value in schema.items() if key not in _DROPPED}
    if "properties" in schema:
        result["properties"] = {
            name: structural(value, definitions) for name, value in schema["properties"].items()
        }
    elif isinstance(schema.get("additionalProperties"), dict):
        result["additionalProperties"] = structural(schema["additionalProperties"], definitions)
    if "items" in schema:
        result["items"] = structural(schema["items"], definitions)
    if schema.get("default") is not None:
        result["default"] = {} if "properties" in schema else _without_nulls(schema["default"])
    return result


def _generate(model: type[Spec] | type[Status]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True)
    return structural(schema, schema.get("$defs", {}))


def _column(name: str, path: str, text: str, kind: str = "string", wide: int = 0) -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "jsonPath": path,
        "description": text,
        **({"priority": wide} if wide else {}),
    }


_COLUMNS = [
    _column("Ready", f"{_READY}.status", "Rolled out, serving and reachable."),
    _column("Zones", ".status.summary.zones", "Zones ready, of all."),
    _column("Ready-replicas", ".status.summary.replicas", "Collectors ready, of all."),
    _column("Backup", ".status.lastBackup.time", "Age of the oldest backup.", kind="date"),
    _column("Last export", ".status.lastExport.period", "Month exported last."),
    _column("Next export", ".status.nextExport.time", "When the next export is due."),
    _column("Age", ".metadata.creationTimestamp", "Age of the resource.", kind="date"),
    _column("Reason", f"{_READY}.message", "What is the matter.", wide=1),
]


def definition() -> dict[str, Any]:
    """Give the CustomResourceDefinition as a document."""
    schema = {
        "type": "object",
        "description": "Usage collectors in one or more zones, and their monthly export.",
        "required": ["spec"],
        "x-kubernetes-validations": rules.RESOURCE,
        "properties": {
            "apiVersion": {
                "type": "string",
                "description": "Version of the resource's form.",
            },
            "kind": {"type": "string", "description": "Always UsageCollector."},
            "metadata": {"type": "object"},
            "spec": {**_generate(Spec), "description": "What is wanted."},
            "status": {**_generate(Status), "description": "What the operator found."},
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{naming.PLURAL}.{naming.GROUP}"},
        "spec": {
            "group": naming.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": naming.KIND,
                "listKind": f"{naming.KIND}List",
                "plural": naming.PLURAL,
                "singular": naming.KIND.lower(),
                "shortNames": ["uc"],
                "categories": ["usage"],
            },
            "versions": [
                {
                    "name": naming.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _COLUMNS,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


class _Plain(yaml.SafeDumper):
    """Writes repeated parts out instead of referring to them."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - pyyaml's signature
        return True


def text() -> str:
    """Give the CustomResourceDefinition as YAML."""
    head = "# Generated by `usage-operator crd`; do not edit.\n"
    return head + yaml.dump(definition(), Dumper=_Plain, sort_keys=False, width=100)
