"""What lets other vendors notify the collectors: a Service, a certificate, and the settings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from usage_operator import naming
from usage_operator.manifests import certificate, secrets
from usage_operator.manifests.metadata import Context, Manifest, base

if TYPE_CHECKING:
    import datetime as dt

HEADERS, KEY = "headers", "api-key"
"""Keys of the user's Secret."""
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ \t]*[\x21-\x7e]{16,}")
"""As collectors read it."""
_FILES = f"{naming.FILES_DIR}/webhooks"
_TLS = f"{naming.FILES_DIR}/webhooks-tls"


def given(context: Context) -> bool:
    """Tell whether any vendor may notify; pods without are left as they are."""
    return context.spec.webhooks.assemblyai is not None


def hosts(context: Context) -> list[str]:
    """List the names that the listener is reached by, the Service's first."""
    host = context.names.service_host(context.names.webhooks)
    return [host, f"{host}.{context.cluster_domain}", *context.spec.webhooks.tls.dns_names]


def material(
    context: Context, existing: secrets.Data, signer: secrets.Data, now: dt.datetime
) -> list[Manifest]:
    """Build the certificate, or ask cert-manager for it; nothing where the user has one."""
    names, tls = context.names, context.spec.webhooks.tls
    if not given(context) or tls.secret_name:
        return []
    if tls.issuer_ref:
        # An authority of the public certifies no names of the cluster.
        wanted = list(tls.dns_names)
        secret = names.webhooks_issued
        return [certificate.request(context, names.webhooks_tls, secret, tls.issuer_ref, wanted)]
    found = secrets.leaf(context, names.webhooks_tls, existing, signer, hosts(context), now)
    return [found]


def service(context: Context, *, labelled: bool = True) -> list[Manifest]:
    """Build the Service in front of the listeners, but not of those that leave."""
    if not given(context):
        return []
    wanted = context.spec.webhooks
    manifest = base(context, ("v1", "Service"), context.names.webhooks, naming.COLLECTOR)
    if wanted.service.annotations:
        manifest["metadata"]["annotations"] = dict(wanted.service.annotations)
    chosen = {naming.INGEST: naming.ON} if labelled else {}
    port = {"name": "webhooks", "port": wanted.port, "targetPort": "webhooks", "protocol": "TCP"}
    manifest["spec"] = {
        "type": wanted.service.type,
        "selector": context.names.selector(naming.COLLECTOR) | chosen,
        "ports": [port],
    }
    return [manifest]


def mounted(context: Context) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Give volumes and mounts of the user's Secret and the certificate.

    Without the certificate that cert-manager has yet to issue collectors use their own.
    """
    wanted = context.spec.webhooks
    if wanted.assemblyai is None:
        return [], []
    names, tls = context.names, wanted.tls
    issued = names.webhooks_issued if tls.issuer_ref else names.webhooks_tls
    sources: dict[str, dict[str, Any]] = {
        "webhooks": {"secretName": wanted.assemblyai.secret_name},
        "webhooks-tls": {"secretName": tls.secret_name or issued, "optional": True},
    }
    volumes = [
        {"name": name, "secret": {**source, "defaultMode": 0o440}}
        for name, source in sources.items()
    ]
    mounts = [
        {"name": name, "mountPath": f"{naming.FILES_DIR}/{name}", "readOnly": True}
        for name in sources
    ]
    return volumes, mounts


def environment(context: Context) -> dict[str, str]:
    """Tell collectors where to listen, and where their files are."""
    wanted = context.spec.webhooks
    if wanted.assemblyai is None:
        return {}
    return {
        "USAGE_WEBHOOKS_PORT": str(wanted.port),
        "USAGE_WEBHOOKS_HEADERS_FILE": f"{_FILES}/{HEADERS}",
        "USAGE_WEBHOOKS_TLS_CERT_FILE": f"{_TLS}/tls.crt",
        "USAGE_WEBHOOKS_TLS_KEY_FILE": f"{_TLS}/tls.key",
        "USAGE_ASSEMBLYAI_KEY_FILE": f"{_FILES}/{KEY}",
        "USAGE_ASSEMBLYAI_URL": wanted.assemblyai.url,
    }


def ports(context: Context) -> list[dict[str, Any]]:
    """Give the container's port."""
    port = {"name": "webhooks", "containerPort": context.spec.webhooks.port, "protocol": "TCP"}
    return [port] if given(context) else []


def ingress(context: Context) -> list[dict[str, Any]]:
    """Let the vendor in."""
    if not given(context):
        return []
    sources = context.spec.webhooks.sources
    rule: dict[str, Any] = {"ports": [{"port": "webhooks", "protocol": "TCP"}]}
    return [{"from": sources, **rule} if sources else rule]


def egress(context: Context) -> list[dict[str, Any]]:
    """Let collectors ask the vendor's API, wherever that is."""
    wanted = context.spec.webhooks.assemblyai
    port = {"port": urlsplit(wanted.url).port or 443, "protocol": "TCP"} if wanted else {}
    return [{"ports": [port]}] if wanted else []


def headers_problem(data: bytes) -> str | None:
    """Tell why collectors would refuse the headers; None: they take them."""
    lines = [line.strip() for line in data.decode(errors="replace").splitlines() if line.strip()]
    for number, line in enumerate(lines, 1):
        if not _HEADER.fullmatch(line):
            return f"line {number} of {HEADERS} is no NAME: VALUE of 16 characters or more"
    return None if lines else f"{HEADERS} holds no header"
