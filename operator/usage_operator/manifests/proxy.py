"""The pass-through proxies in front of the collectors, on request: HAProxy in TCP mode.

A Service alone sends one connection in three to a node that was lost, until Kubernetes notices it
after 40 s. A proxy gives up on such a collector after a second, and takes another one. TLS passes
through untouched. The directives are those of the HAProxy configuration manual, version 2.6 on.
"""

from __future__ import annotations

import hashlib
from typing import Any

from usage_operator import naming
from usage_operator.manifests import accounts, pod
from usage_operator.manifests.metadata import Context, Manifest, base

_HEALTH = 8404
_FOLDER = "/etc/haproxy"
_RESOURCES = {
    "requests": {"cpu": "50m", "memory": "32Mi"},
    "limits": {"memory": "256Mi"},
}
_LEAVE_SECONDS = 5
"""How long one that ends still takes connections, until every node knows that it does."""

_CONFIG = """\
# What cannot be connected to within 1 s is left for the next collector; a connection whose other
# end is silent for about 2 s, as that of a lost node, is closed, and the client tries again.
global
    log stdout format raw local0 notice
    # Not from the limit of open files, which is endless in some containers, and memory with it.
    maxconn 4096

defaults
    mode tcp
    log global
    option dontlognull
    option clitcpka
    option srvtcpka
    srvtcpka-idle 1s
    srvtcpka-intvl 1s
    srvtcpka-cnt 2
    timeout connect 1s
    timeout check 1s
    # Longer than collectors keep a connection, and than their longest answer.
    timeout client 90s
    timeout server 90s
    retries 3
    option redispatch 1

resolvers cluster
    parse-resolv-conf
    hold valid 2s
    hold obsolete 10s
    timeout resolve 1s
    timeout retry 1s

frontend health
    mode http
    bind :{health}
    monitor-uri /readyz
    monitor fail if {{ nbsrv(collectors) lt 1 }}

frontend ingest
    bind :{port}
    default_backend collectors

backend collectors
    balance roundrobin
    option httpchk GET /readyz
    http-check expect status 200
    # What does not answer one check is asked again at once: it is down after 1.6 s at the latest.
    default-server inter 500ms fastinter 100ms fall 2 rise 1
    default-server observe layer4 error-limit 3 on-error mark-down
    default-server resolvers cluster init-addr last,libc,none
    # HAProxy 2.6 does not hand tcp-ut down from default-server. Without it a connection with
    # bytes that nobody acknowledges hangs for longer than a client tries.
"""


def config(context: Context) -> str:
    """Write haproxy.cfg: every collector that the spec wants, none that leaves.

    The reporting port is asked for health: the other one may want a client's certificate.
    """
    spec, names = context.spec, context.names
    lines = [_CONFIG.format(health=_HEALTH, port=spec.ingest.port)]
    tls = " check-ssl verify none" if spec.reporting.tls else ""
    for zone in spec.zones:
        for ordinal in range(zone.replicas):
            # The proxy's own resolver knows no search domains.
            host = f"{names.pod_host(zone.name, ordinal)}.{names.cluster_domain}"
            port = f"{spec.ingest.port} check port {spec.reporting.port}"
            lines.append(f"    server {zone.name}-{ordinal} {host}:{port}{tls} tcp-ut 1s\n")
    return "".join(lines)


def _container(context: Context) -> dict[str, Any]:
    return {
        "name": naming.PROXY,
        "image": context.proxy_image,
        "command": ["haproxy", "-W", "-db", "-f", f"{_FOLDER}/haproxy.cfg"],
        "ports": [
            {"name": "ingest", "containerPort": context.spec.ingest.port, "protocol": "TCP"},
            {"name": "health", "containerPort": _HEALTH, "protocol": "TCP"},
        ],
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": "health"},
            "periodSeconds": 2,
            "failureThreshold": 2,
        },
        "livenessProbe": {"tcpSocket": {"port": "health"}, "periodSeconds": 10},
        "lifecycle": {"preStop": {"sleep": {"seconds": _LEAVE_SECONDS}}},
        "resources": _RESOURCES,
        "volumeMounts": [{"name": "config", "mountPath": _FOLDER, "readOnly": True}],
        "securityContext": pod.CONTAINER_SECURITY,
    }


def _spread(context: Context) -> list[dict[str, Any]]:
    selector = {"matchLabels": context.names.selector(naming.PROXY)}
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": selector,
        }
        for key in (naming.TOPOLOGY_ZONE, "kubernetes.io/hostname")
    ]


def _deployment(context: Context, replicas: int, text: str) -> Manifest:
    names = context.names
    template = pod.template(
        context,
        naming.PROXY,
        {
            "serviceAccountName": names.proxy,
            "topologySpreadConstraints": _spread(context),
            "containers": [_container(context)],
            "volumes": [{"name": "config", "configMap": {"name": names.proxy}}],
        },
    )
    # It is read at the start only.
    mark = {f"{naming.GROUP}/config": hashlib.sha256(text.encode()).hexdigest()[:16]}
    template["metadata"]["annotations"] = template["metadata"].get("annotations", {}) | mark
    manifest = base(context, ("apps/v1", "Deployment"), names.proxy, naming.PROXY)
    manifest["spec"] = {
        "replicas": replicas,
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        },
        "selector": {"matchLabels": names.selector(naming.PROXY)},
        "template": template,
    }
    return manifest


def build(context: Context) -> list[Manifest]:
    """Build all that the proxies need; nothing where none are wanted."""
    wanted, names = context.spec.ingest.proxy, context.names
    if wanted is None:
        return []
    text = config(context)
    settings = base(context, ("v1", "ConfigMap"), names.proxy, naming.PROXY)
    settings["data"] = {"haproxy.cfg": text}
    budget = base(context, ("policy/v1", "PodDisruptionBudget"), names.proxy, naming.PROXY)
    budget["spec"] = {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": names.selector(naming.PROXY)},
    }
    return [
        accounts.build(context, naming.PROXY),
        settings,
        budget,
        _deployment(context, wanted.replicas, text),
    ]
