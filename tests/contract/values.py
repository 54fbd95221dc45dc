"""The chart's README, made from its values and their schema."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

_HEAD = """# The chart

Installs the usage operator; [the project's README](../../README.md#install-it-on-a-cluster)
shows how, and [operations](../../docs/operations.md#upgrading) how to upgrade and to uninstall.
The definition of `UsageCollector` is part of the chart's templates, so that an upgrade brings it
up to date; `crds.keep` leaves it, and every resource, when the release goes.

A second release in a cluster sets `crds.enabled=false,deleteWarning.enabled=false`. Each release
has a Lease of its own.

| value | default | meaning |
|---|---|---|
"""


def readme(chart: Path) -> str:
    """Every value with its default and what the schema says of it."""
    schema = json.loads((chart / "values.schema.json").read_text())
    values = yaml.safe_load((chart / "values.yaml").read_text())
    rows = [
        f"| `{path}` | `{json.dumps(default)}` | {text} |\n"
        for path, default, text in _rows(schema, schema, values, "")
    ]
    return _HEAD + "".join(rows)


def _rows(
    whole: Mapping[str, Any], schema: Mapping[str, Any], values: Mapping[str, Any], above: str
) -> Iterator[tuple[str, Any, str]]:
    for name, default in values.items():
        member = schema["properties"][name]
        if reference := member.get("$ref"):
            beside = {key: value for key, value in member.items() if key != "$ref"}
            member = whole["definitions"][reference.rpartition("/")[2]] | beside
        path = f"{above}{name}"
        if "properties" in member:
            yield from _rows(whole, member, default, f"{path}.")
        else:
            yield path, default, member["description"]
