"""Metrics of resources."""

from __future__ import annotations

import secrets

import pytest
from prometheus_client import REGISTRY, generate_latest

from usage_operator.metrics import OfResources


def lines(name: str) -> list[str]:
    """Give the samples of a metric."""
    return [one for one in generate_latest().decode().splitlines() if one.startswith(name)]


def test_a_resource_is_told_of_as_a_whole() -> None:
    """What was true before is not any more, and nothing is left of a resource that is gone."""
    name = f"test_{secrets.token_hex(4)}"
    gauge = OfResources(name, "A test.", ("state",))
    try:
        gauge.tell("m", "a", {("old",): 1})
        gauge.tell("m", "a", {("x",): True, ("y",): 2})
        gauge.tell("m", "b", {("x",): False})
        assert lines(name) == [
            f'{name}{{name="a",namespace="m",state="x"}} 1.0',
            f'{name}{{name="a",namespace="m",state="y"}} 2.0',
            f'{name}{{name="b",namespace="m",state="x"}} 0.0',
        ]
        gauge.tell("m", "a", {})
        gauge.tell("m", "b", None)
        assert lines(name) == []
        with pytest.raises(ValueError, match="Duplicated"):
            OfResources(name, "Another.")
    finally:
        REGISTRY.unregister(gauge)


def test_a_single_value_needs_no_further_label() -> None:
    """Zero is a value; none is none."""
    name = f"test_{secrets.token_hex(4)}"
    gauge = OfResources(name, "A test.")
    try:
        gauge.tell("m", "a", 0)
        gauge.tell("m", "b", None)
        assert lines(name) == [f'{name}{{name="a",namespace="m"}} 0.0']
    finally:
        REGISTRY.unregister(gauge)
