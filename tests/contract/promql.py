"""The metrics that expressions of Prometheus read, and those that processes tell."""

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families

GIVEN = {"namespace", "job", "pod", "instance", "le"}
"""Labels that Prometheus adds, or that every histogram has."""
_SELECTOR = re.compile(r"\b(usage_[a-z_]+)(?:\{([^}]*)\})?")
_LABEL = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)")
_BY = re.compile(r"\b(?:by|without) \(([^)]*)\)")


def used(expression: str) -> dict[str, set[str]]:
    """Each metric of an expression with the labels by which it is chosen or grouped."""
    grouped = {label.strip() for group in _BY.findall(expression) for label in group.split(",")}
    found: dict[str, set[str]] = {}
    for name, selector in _SELECTOR.findall(expression):
        found.setdefault(name, set()).update(_LABEL.findall(selector))
    for labels in found.values():
        labels |= grouped
    return found


def told(text: str) -> dict[str, set[str]]:
    """Each sample's name with its labels; a family without samples has None."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def unknown(expression: str, metrics: dict[str, set[str]]) -> list[str]:
    """What an expression reads but nobody tells."""
    missing = []
    for name, labels in used(expression).items():
        if name not in metrics:
            missing.append(name)
        else:
            missing += [f"{name}{{{label}}}" for label in labels - metrics[name] - GIVEN]
    return missing
