"""The samples are valid."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from usage_operator import spec

SAMPLES = sorted((Path(__file__).parents[2] / "deploy" / "samples").glob("*.yaml"))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_sample_can_be_read(path: Path) -> None:
    """Every document is a resource without a problem."""
    for document in yaml.safe_load_all(path.read_text()):
        resource = spec.parse(document)
        assert resource.wanted
