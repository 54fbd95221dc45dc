"""The files that are made from others, so that each fact is written once: `make generate`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.contract import values
from usage_operator.spec import crd

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "custom-resource.md"
_CHART = ROOT / "charts" / "usage-operator" / "files"
_HEAD = """# The custom resource

`usagecollectors.usage-operator.io`, kind `UsageCollector`, version `v1`, namespaced, short name
`uc`. Only `spec.zones` is required; other fields marked so are wherever what holds them is given.
Samples are in [deploy/samples](../deploy/samples).

Zones and replicas that leave the resource keep running until all that they hold was exported;
[operations](operations.md#removing-a-zone) says how.
"""


def files() -> dict[Path, str]:
    """Every generated file with its text."""
    base = ROOT / "deploy" / "base"
    return {
        ROOT / "deploy" / "crd" / "usagecollectors.yaml": crd.text(),
        _CHART / "usagecollectors.yaml": crd.text(),
        _CHART / "role.yaml": (base / "role.yaml").read_text(),
        _CHART / "delete-warning.yaml": (base / "delete-warning.yaml").read_text(),
        _CHART.parent / "README.md": values.readme(_CHART.parent),
        REFERENCE: reference(crd.definition()),
    }


def reference(definition: Mapping[str, Any]) -> str:
    """The resource's fields as Markdown tables, from the schema that the API server has."""
    properties = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    parts = [_HEAD]
    for part, columns in (
        ("spec", "field | type | default | meaning"),
        ("status", "field | type | meaning"),
    ):
        rule = "|".join("---" for _ in columns.split("|"))
        parts.append(f"\n## {part}\n\n| {columns} |\n|{rule}|\n")
        for path, schema, required in _fields(part, properties[part]):
            cells = [f"`{path}`", _type(schema) + _bounds(schema)]
            if part == "spec":
                cells.append("required" if required else _default(schema))
            parts.append(
                f"| {' | '.join([*cells, schema.get('description', '').replace('|', '/')])} |\n"
            )
    return "".join(parts)


def _fields(path: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Each field below, with whether what holds it must have it."""
    for name, member in schema.get("properties", {}).items():
        yield f"{path}.{name}", member, name in schema.get("required", ())
        inner, place = (
            (member["items"], f"{path}.{name}[]")
            if "items" in member
            else (member, f"{path}.{name}")
        )
        yield from _fields(place, inner)


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"] if value is not None)
    if schema.get("x-kubernetes-int-or-string"):
        return "number or text"
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if "additionalProperties" in schema:
        return "map"
    return str(schema.get("type", "any"))


def _bounds(schema: Mapping[str, Any]) -> str:
    """How large a number may be, or how many a list may hold."""
    if schema.get("type") == "array":
        many = _range(schema.get("minItems"), schema.get("maxItems"))
        return _bounds(schema["items"]) + (f"; {many} of them" if many else "")
    span = _range(schema.get("minimum"), schema.get("maximum"))
    return f", {span}" if span else ""


def _range(least: float | None, most: float | None) -> str:
    if most is None:
        return f"at least {least}" if least else ""
    return f"at most {most:.0f}" if least is None else f"{least} to {most:.0f}"


def _default(schema: Mapping[str, Any]) -> str:
    default = schema.get("default")
    if default in (None, {}, []):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(_pruned(default))}`"


def _pruned(value: Any) -> Any:
    """The value without members that are null."""
    if isinstance(value, dict):
        return {key: _pruned(member) for key, member in value.items() if member is not None}
    return [_pruned(member) for member in value] if isinstance(value, list) else value


def write() -> None:
    """Write every generated file."""
    for path, text in files().items():
        path.write_text(text)


if __name__ == "__main__":
    write()
