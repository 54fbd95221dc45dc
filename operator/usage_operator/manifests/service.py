"""The Services: one name for each collector, one for all, one for reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from usage_operator import naming
from usage_operator.manifests.metadata import Context, Manifest, base

if TYPE_CHECKING:
    from collections.abc import Mapping

_KIND = ("v1", "Service")


def _port(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "port": number, "targetPort": name, "protocol": "TCP"}


def headless(context: Context, zone: str) -> Manifest:
    """Build a zone's headless Service; it names collectors that are not ready, too."""
    spec = context.spec
    name = context.names.zone(zone)
    manifest = base(context, _KIND, name, naming.COLLECTOR, zone=zone)
    manifest["spec"] = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": context.names.selector(naming.COLLECTOR, zone),
        "ports": [_port("ingest", spec.ingest.port), _port("reporting", spec.reporting.port)],
    }
    return manifest


def ingest(context: Context, *, labelled: bool = True, proxied: bool = False) -> Manifest:
    """Build the Service that spreads transcribers' connections over all collectors.

    Those that leave are left out, once every pod is ``labelled`` with whether it does. When it is
    ``proxied``, connections go to the proxies instead, which spread them.
    """
    wanted = context.spec.ingest
    manifest = base(context, _KIND, context.names.ingest, naming.COLLECTOR)
    if wanted.service.annotations:
        annotations: Mapping[str, str] = wanted.service.annotations
        manifest["metadata"]["annotations"] = dict(annotations)
    chosen = {naming.INGEST: naming.ON} if labelled else {}
    collectors = context.names.selector(naming.COLLECTOR) | chosen
    manifest["spec"] = {
        "type": wanted.service.type,
        "selector": context.names.selector(naming.PROXY) if proxied else collectors,
        "ports": [_port("ingest", wanted.port)],
    }
    # Proxies spread evenly whoever asks, and one in the own zone is not lost with another zone.
    near = wanted.service.traffic_distribution or ("PreferClose" if proxied else None)
    if near:
        manifest["spec"]["trafficDistribution"] = near
    return manifest


def reporting(context: Context) -> Manifest:
    """Build the Service in front of the reporting listeners."""
    manifest = base(context, _KIND, context.names.reporting, naming.COLLECTOR)
    manifest["spec"] = {
        "type": "ClusterIP",
        "selector": context.names.selector(naming.COLLECTOR),
        "ports": [_port("reporting", context.spec.reporting.port)],
    }
    return manifest
