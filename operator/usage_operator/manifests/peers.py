"""The list of every collector that should exist, answering or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usage_operator import naming
from usage_operator.manifests.metadata import Context, Manifest, base

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from usage_operator.manifests.claims import Claim


def urls(context: Context, collectors: Mapping[str, int]) -> list[str]:
    """Give the address of each collector; collectors maps zones to counts of replicas."""
    spec = context.spec
    scheme = "https" if spec.reporting.tls else "http"
    return [
        f"{scheme}://{context.names.pod_host(zone, ordinal)}:{spec.reporting.port}"
        for zone, replicas in collectors.items()
        for ordinal in range(replicas)
    ]


def build(
    context: Context, collectors: Mapping[str, int], claims: Iterable[Claim] = ()
) -> Manifest:
    """Build the ConfigMap with one address a line, collectors that are leaving included.

    A second list names the collectors that were removed when all they held had been sent: the
    month after must not miss them.
    """
    manifest = base(context, ("v1", "ConfigMap"), context.names.peers, naming.COLLECTOR)
    retired = [
        f"{context.names.zone(claim.zone)}-{claim.ordinal}\n"
        for claim in claims
        if claim.emptied and claim.ordinal >= collectors.get(claim.zone, 0)
    ]
    manifest["data"] = {
        "peers": "".join(f"{url}\n" for url in urls(context, collectors)),
        "retired": "".join(sorted(retired)),
    }
    return manifest
