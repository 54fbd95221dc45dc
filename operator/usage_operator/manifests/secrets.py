"""Secrets that are made once: what exists is kept, only what is missing is generated."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from usage_operator import errors, naming
from usage_operator.manifests import authority, pki
from usage_operator.manifests.metadata import Context, Manifest, base

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping

Data = dict[str, bytes]

SIGNING_KEY_BYTES = 64
TOKEN_BYTES = 32
ROLES = ("read", "admin")
"""Of tokens, as collectors know them."""


def decode(secret: Mapping[str, object] | None) -> Data:
    """Give a Secret's data as bytes; empty for none."""
    data = (secret or {}).get("data") or {}
    if not isinstance(data, dict):
        return {}
    return {key: base64.b64decode(value) for key, value in data.items()}


def _build(
    context: Context, name: str, data: Data, *, owned: bool, kind: str = "Opaque"
) -> Manifest:
    manifest = base(context, ("v1", "Secret"), name, naming.COLLECTOR, owned=owned)
    manifest["type"] = kind
    manifest["data"] = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return manifest


def _complete(existing: Data, makers: Mapping[str, Callable[[], bytes]]) -> Data:
    """Keep what exists and is not empty; generate the rest."""
    missing = {key: make() for key, make in makers.items() if not existing.get(key)}
    return existing | missing


def _proof_key() -> bytes:
    return ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _signing_key() -> bytes:
    """Make the HS512 secret as text, so that it can be handed to whoever checks signatures."""
    return secrets.token_urlsafe(SIGNING_KEY_BYTES).encode()


def keys(context: Context, existing: Data) -> Manifest:
    """Build the signing keys; they have no owner, since what they signed outlives the resource."""
    data = _complete(existing, {"hs512.key": _signing_key, "proof.pem": _proof_key})
    return _build(context, context.names.keys, data, owned=False)


def tokens(context: Context, existing: Data) -> Manifest:
    """Build the reporting tokens: one that reads, one that administers, and the file of both.

    What of them is made anew is told to collectors, too: nobody else could let jobs in again.
    """

    def make() -> bytes:
        return secrets.token_urlsafe(TOKEN_BYTES).encode()

    data = _complete(existing, {"read": make, "admin": make})
    lines = existing.get("tokens", b"").splitlines()
    new = [role for role in ROLES if not (lines and existing.get(role))]
    if new:
        lines += [f"{role} ".encode() + data[role] for role in new]
        data["tokens"] = b"".join(line + b"\n" for line in lines)
    return _build(context, context.names.tokens, data, owned=True)


def keys_problem(data: Data) -> str | None:
    """Tell why collectors would not start with signing keys of the user's; None: they would."""
    if len(data["hs512.key"].removesuffix(b"\n")) < 32:
        return "hs512.key is shorter than 32 bytes: give it a longer one"
    try:
        proof = serialization.load_pem_private_key(data["proof.pem"], None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        proof = None
    if isinstance(proof, ed25519.Ed25519PrivateKey):
        return None
    how = "openssl genpkey -algorithm ed25519"
    return f"proof.pem is no Ed25519 private key, PEM without a password: make one with {how}"


def tokens_problem(data: Data) -> str | None:
    """Tell why collectors would not start with tokens of the user's, or let no job in."""
    try:
        text, admin = data["tokens"].decode(), data["admin"].decode().strip()
    except UnicodeDecodeError:
        return "tokens or admin is no text in UTF-8: write it anew"
    lines = [line.split() for line in text.splitlines()]
    given = [(number, line) for number, line in enumerate(lines, 1) if line and line[0][0] != "#"]
    for number, line in given:
        if len(line) != 2 or line[0] not in ROLES:
            return f"line {number} of tokens is not ROLE TOKEN: the role is read or admin"
    if ["admin", admin] not in [one for _, one in given]:
        return "the token in admin has no line in tokens: add admin TOKEN there"
    return None


def ca(context: Context, existing: Data, now: dt.datetime) -> Manifest:
    """Build the certificate authority; it has no owner, so that clients can go on trusting it.

    UnusableSecret when what exists cannot be used: it is never overwritten.
    """
    name, life = f"{context.resource.name} usage collectors", context.ca_life
    if not existing:
        data = authority.made(name, now, life)
    elif reason := authority.problem(existing):
        raise errors.UnusableSecret(
            f"Secret {context.names.ca_key} holds no usable certificate authority ({reason})",
            "restore it from a backup, or delete it to have a new one made",
        )
    else:
        data = authority.advance(existing, name, now, life)
    return _build(context, context.names.ca_key, data, owned=False)


def server_names(context: Context, zones: list[str]) -> list[str]:
    """List the names that collectors are reached by, the Service's first."""
    names, domain = context.names, context.cluster_domain
    hosts = [names.service_host(names.ingest), names.service_host(names.reporting)]
    hosts += [f"*.{names.service_host(names.zone(zone))}" for zone in zones]
    services = [names.ingest, names.reporting]
    return [
        *hosts,
        *(f"{host}.{domain}" for host in hosts),
        *services,
        *(f"{service}.{context.resource.namespace}" for service in services),
        "localhost",
        "127.0.0.1",
        "::1",
        *context.spec.ingest.tls.dns_names,
    ]


def certificate(
    context: Context, existing: Data, signer: Data, zones: list[str], now: dt.datetime
) -> Manifest:
    """Build the collectors' certificate: the existing one while it is good, else a new one."""
    return leaf(context, context.names.tls, existing, signer, server_names(context, zones), now)


def leaf(
    context: Context, name: str, existing: Data, signer: Data, hosts: list[str], now: dt.datetime
) -> Manifest:
    """Build a Secret with a certificate of our authority for these names and addresses."""
    issuer = pki.Pair(signer["ca.crt"], signer["ca.key"])
    pair = pki.Pair(existing.get("tls.crt", b""), existing.get("tls.key", b""))
    names = list(dict.fromkeys(hosts))
    if pki.renewal(pair, issuer, names, now):
        pair = pki.make_leaf(issuer, names, now, context.leaf_life)
    data = {"tls.crt": pair.certificate, "tls.key": pair.key}
    return _build(context, name, data, owned=True, kind="kubernetes.io/tls")


def bundle(context: Context, ours: Data, further: list[bytes]) -> Manifest:
    """Build the ConfigMap of what clients trust: our authorities, and that of a Secret given."""
    manifest = base(context, ("v1", "ConfigMap"), context.names.ca, naming.COLLECTOR)
    parts = [*authority.trusted(ours), *further]
    unique = dict.fromkeys(part.strip() for part in parts if part.strip())
    manifest["data"] = {"ca.crt": "".join(f"{part.decode()}\n" for part in unique)}
    return manifest
