"""The list of every collector that should exist, answering or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usage_operator import naming
from usage_operator.manifests.metadata import Context, Manifest, base

if TYPE_CHECKING:
    from collections.abc import Mapping


def urls(context: Context, collectors: Mapping[str, int]) -> list[str]:
    """Give the address of each collector; collectors maps zones to counts of replicas."""
    spec = context.spec
    scheme = "https" if spec.reporting.tls else "http"
    return [
        f"{scheme}://{context.names.pod_host(zone, ordinal)}:{spec.reporting.port}"
        for zone, replicas in collectors.items()
        for ordinal in range(replicas)
    ]


def build(context: Context, collectors: Mapping[str, int]) -> Manifest:
    """Build the ConfigMap with one address a line, collectors that are leaving included."""
    manifest = base(context, ("v1", "ConfigMap"), context.names.peers, naming.COLLECTOR)
    manifest["data"] = {"peers": "".join(f"{url}\n" for url in urls(context, collectors))}
    return manifest
