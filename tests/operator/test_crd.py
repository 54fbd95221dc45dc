"""The generated definition."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from usage_operator.spec import crd

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path(__file__).parents[2] / "deploy" / "crd" / "usagecollectors.yaml"


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Walk through all fields of a schema."""
    for name, value in schema.get("properties", {}).items():
        yield f"{path}.{name}", value
        yield from fields(value, f"{path}.{name}")
    if "items" in schema:
        yield from fields(schema["items"], f"{path}[]")


def schema() -> dict[str, Any]:
    """Give the definition's schema."""
    (version,) = crd.definition()["spec"]["versions"]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return found


def test_the_file_is_generated() -> None:
    """The file under deploy/crd is what `usage-operator crd` prints."""
    assert FILE.read_text() == crd.text()


def test_every_field_is_described() -> None:
    """kubectl explain has a sentence about every field."""
    bare = [path for path, value in fields(schema()) if not value.get("description")]
    assert bare == [".metadata"]


def test_every_rule_has_a_message_with_a_remedy() -> None:
    """No CEL rule answers with its own code."""
    rules = [
        rule
        for _, value in [("", schema()), *fields(schema())]
        for rule in value.get("x-kubernetes-validations", [])
    ]
    assert len(rules) > 10
    assert all(len(rule["message"]) > 30 for rule in rules)


def test_it_is_plain_yaml() -> None:
    """The file has no anchors, which some tools cannot read."""
    assert yaml.safe_load(FILE.read_text()) == crd.definition()
    assert "&id" not in FILE.read_text()
