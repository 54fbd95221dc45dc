"""The PodDisruptionBudget: drains take one zone at a time, and never hang on a broken collector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usage_operator import naming
from usage_operator.manifests.metadata import Context, Manifest, base

if TYPE_CHECKING:
    from collections.abc import Mapping


def build(context: Context, collectors: Mapping[str, int]) -> Manifest:
    """Build the budget over the collectors of all zones; ``collectors`` says how many run in each.

    A zone's collectors may all be on one node, and their volumes with them: a budget of fewer
    would let its drain wait for ever. Where zones are not of one size it is that of the largest,
    and may do for two small ones at a time.
    """
    kind = ("policy/v1", "PodDisruptionBudget")
    manifest = base(context, kind, context.names.collector, naming.COLLECTOR)
    manifest["spec"] = {
        "maxUnavailable": max([1, *collectors.values()]),
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": context.names.selector(naming.COLLECTOR)},
    }
    return manifest
