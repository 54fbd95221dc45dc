"""What is generated, and what is written twice because its readers differ, agrees."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract import generated


@pytest.mark.parametrize(
    "path", generated.files(), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_generated_files_are_up_to_date(path: Path) -> None:
    """A generated file is what `make generate` would write now."""
    assert path.read_text() == generated.files()[path], "run: make generate"


def _described(schema: dict[str, Any], path: str = "") -> list[str]:
    missing = []
    for name, member in schema.get("properties", {}).items():
        if name != "metadata" and not member.get("description"):
            missing.append(f"{path}.{name}")
        missing += _described(member.get("items", member), f"{path}.{name}")
    return missing


def test_every_field_of_the_resource_is_described() -> None:
    """`kubectl explain uc` says something about every field."""
    crd = yaml.safe_load((generated.ROOT / "deploy" / "crd" / "usagecollectors.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert not _described(schema)
