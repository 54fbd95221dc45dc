"""The request to cert-manager for the collectors' certificate.

Source: the API reference of cert-manager.io/v1, kind Certificate.
"""

from __future__ import annotations

import ipaddress

from usage_operator import naming
from usage_operator.manifests.metadata import Context, Manifest, base


def _address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def build(context: Context, hosts: list[str]) -> Manifest | None:
    """Build the Certificate for these names and addresses; None where no issuer is named."""
    issuer = context.spec.ingest.tls.issuer_ref
    if issuer is None:
        return None
    kind = ("cert-manager.io/v1", "Certificate")
    manifest = base(context, kind, context.names.tls, naming.COLLECTOR)
    manifest["spec"] = {
        "secretName": context.names.issued,
        "issuerRef": issuer.model_dump(by_alias=True),
        "dnsNames": [host for host in hosts if not _address(host)],
        "ipAddresses": [host for host in hosts if _address(host)],
        "usages": ["digital signature", "server auth"],
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
    }
    return manifest
