"""NetworkPolicies: who may connect to collectors, and that nobody connects to jobs."""

from __future__ import annotations

from typing import Any

from usage_operator import naming
from usage_operator.manifests import limits, webhooks
from usage_operator.manifests.metadata import Context, Manifest, base

_KIND = ("networking.k8s.io/v1", "NetworkPolicy")
_NAMESPACE = "kubernetes.io/metadata.name"


def _operator(context: Context) -> dict[str, Any]:
    """Select the operator's pods, which ask collectors how they are."""
    labels = {_NAMESPACE: context.operator_namespace} if context.operator_namespace else {}
    return {
        "namespaceSelector": {"matchLabels": labels},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": naming.FIELD_MANAGER}},
    }


def _collectors(context: Context) -> Manifest:
    """Let those of ``from`` connect to both ports, own jobs and the operator to what they need.

    Collectors open no connections but to ask for names, each other for what was used, other
    vendors for what they are notified of, and to tell webhooks of alerts.
    """
    spec, names = context.spec, context.names
    ports = {
        "ingest": [{"port": "ingest", "protocol": "TCP"}],
        "reporting": [{"port": "reporting", "protocol": "TCP"}],
    }
    both = [*ports["ingest"], *ports["reporting"]]
    manifest = base(context, _KIND, names.collector, naming.COLLECTOR)
    sources = spec.network_policy.sources
    rules: list[dict[str, Any]] = [{"ports": both}]
    if sources:
        ours = {"podSelector": {"matchLabels": {naming.INSTANCE: names.name}}}
        rules = [
            {"from": sources, "ports": both},
            {"from": [ours], "ports": both if spec.ingest.proxy else ports["reporting"]},
            {"from": [_operator(context)], "ports": both},
        ]
    told = [{"port": port, "protocol": "TCP"} for port in limits.ports(context)]
    manifest["spec"] = {
        "podSelector": {"matchLabels": names.selector(naming.COLLECTOR)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [*rules, *webhooks.ingress(context)],
        "egress": [
            {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
            {
                "to": [{"podSelector": {"matchLabels": names.selector(naming.COLLECTOR)}}],
                "ports": [{"port": spec.reporting.port, "protocol": "TCP"}],
            },
            *([{"ports": told}] if told else []),
            *webhooks.egress(context),
        ],
    }
    return manifest


def _jobs(context: Context, name: str, *components: str) -> Manifest:
    """Let nobody connect to jobs' pods; they deliver to wherever the user says."""
    manifest = base(context, _KIND, name, components[0])
    selector: dict[str, Any] = {"matchLabels": context.names.selector(components[0])}
    if len(components) > 1:
        labels = selector["matchLabels"]
        del labels[naming.COMPONENT]
        among = {"key": naming.COMPONENT, "operator": "In", "values": list(components)}
        selector["matchExpressions"] = [among]
    manifest["spec"] = {
        "podSelector": selector,
        "policyTypes": ["Ingress"],
        "ingress": [],
    }
    return manifest


def _shippers(context: Context) -> Manifest:
    """Let those of ``from`` read the shippers' metrics."""
    names, sources = context.names, context.spec.network_policy.sources
    manifest = base(context, _KIND, names.shippers, naming.SHIPPER)
    rule: dict[str, Any] = {"ports": [{"port": "metrics", "protocol": "TCP"}]}
    if sources:
        rule["from"] = sources
    manifest["spec"] = {
        "podSelector": {"matchLabels": names.selector(naming.SHIPPER)},
        "policyTypes": ["Ingress"],
        "ingress": [rule],
    }
    return manifest


def _proxies(context: Context) -> Manifest:
    """Let those of ``from`` and the operator connect to the proxies."""
    names, sources = context.names, context.spec.network_policy.sources
    manifest = base(context, _KIND, names.proxy, naming.PROXY)
    rule: dict[str, Any] = {"ports": [{"port": "ingest", "protocol": "TCP"}]}
    if sources:
        rule["from"] = [*sources, _operator(context)]
    manifest["spec"] = {
        "podSelector": {"matchLabels": names.selector(naming.PROXY)},
        "policyTypes": ["Ingress"],
        "ingress": [rule],
    }
    return manifest


def build(context: Context) -> list[Manifest]:
    """Build the policies; none where the user wants none."""
    if not context.spec.network_policy.enabled:
        return []
    names = context.names
    made = [_collectors(context), _jobs(context, names.export, naming.EXPORT)]
    if context.spec.backup or context.spec.restore:
        made.append(_jobs(context, names.backups, naming.BACKUP, naming.RESTORE))
    if context.spec.backup and context.spec.backup.continuous:
        made.append(_shippers(context))
    if context.spec.ingest.proxy:
        made.append(_proxies(context))
    return made
