"""The PodDisruptionBudget: drains take one collector at a time, and never hang on a broken one."""

from __future__ import annotations

from usage_operator import naming
from usage_operator.manifests.metadata import Context, Manifest, base


def build(context: Context) -> Manifest:
    """Build the budget over the collectors of all zones."""
    kind = ("policy/v1", "PodDisruptionBudget")
    manifest = base(context, kind, context.names.collector, naming.COLLECTOR)
    manifest["spec"] = {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": context.names.selector(naming.COLLECTOR)},
    }
    return manifest
