"""The request to cert-manager for the collectors' certificate.

Source: the API reference of cert-manager.io/v1, kind Certificate.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from usage_operator import naming
from usage_operator.manifests.metadata import Context, Manifest, base

if TYPE_CHECKING:
    from usage_operator.spec import IssuerRef


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
    names = context.names
    return request(context, names.tls, names.issued, issuer, hosts)


def request(
    context: Context, name: str, secret: str, issuer: IssuerRef, hosts: list[str]
) -> Manifest:
    """Build a Certificate for these names and addresses, to be put into that Secret."""
    manifest = base(context, ("cert-manager.io/v1", "Certificate"), name, naming.COLLECTOR)
    manifest["spec"] = {
        "secretName": secret,
        "issuerRef": issuer.model_dump(by_alias=True),
        "dnsNames": [host for host in hosts if not _address(host)],
        "ipAddresses": [host for host in hosts if _address(host)],
        "usages": ["digital signature", "server auth"],
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
    }
    return manifest
