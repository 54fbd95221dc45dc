"""What a resource refers to but the operator does not make: Secrets and storage classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from usage_operator import naming
from usage_operator.conditions import Trouble
from usage_operator.manifests import limits, pki, secrets, webhooks
from usage_operator.plan import Ref
from usage_operator.reconcile import classes

if TYPE_CHECKING:
    import datetime as dt

    from usage_operator.kube import Client
    from usage_operator.manifests import Context
    from usage_operator.plan import Object
    from usage_operator.reconcile.observe import Observed


@dataclass(frozen=True, slots=True)
class References:
    """What is wrong with what the resource refers to, and whom its own certificate needs.

    ``secrets`` are those of the user's, ``authority`` that of clients' certificates; ``classes``
    are the storage classes that are not there. ``pending``: why cert-manager has yet to issue the
    certificate. ``export_troubles``, ``backup_troubles`` and ``alert_troubles`` keep only
    exports, backups and alerts from being done: collectors take events all the same.
    """

    troubles: tuple[Trouble, ...] = ()
    export_troubles: tuple[Trouble, ...] = ()
    backup_troubles: tuple[Trouble, ...] = ()
    alert_troubles: tuple[Trouble, ...] = ()
    pending: Trouble | None = None
    trusted: tuple[bytes, ...] = ()
    secrets: tuple[Object, ...] = ()
    authority: tuple[Object, ...] = ()
    classes: tuple[str, ...] = ()


_CREDENTIALS: dict[str, tuple[str, ...]] = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "email": ("USAGE_SMTP_USERNAME", "USAGE_SMTP_PASSWORD"),
    "https": ("USAGE_HTTPS_HEADER",),
}
"""What the Secret of each kind of destination must have."""
_GENERATED = ("spec.reporting.tokens", "spec.signing", "spec.ingest.tls")
"""The fields without which a Secret is made."""


def _wanted(context: Context) -> list[tuple[str, str, tuple[str, ...]]]:
    """List field, Secret and the keys it must have."""
    spec = context.spec
    found: list[tuple[str, str | None, tuple[str, ...]]] = [
        ("spec.ingest.tls.secretName", spec.ingest.tls.secret_name, ("tls.crt", "tls.key")),
        (
            "spec.reporting.tokens.secretName",
            spec.reporting.tokens.secret_name,
            ("tokens", "admin"),
        ),
        ("spec.signing.secretName", spec.signing.secret_name, ("hs512.key", "proof.pem")),
    ]
    if spec.backup and spec.backup.encryption:
        name = spec.backup.encryption.secret_name
        found.append(("spec.backup.encryption.secretName", name, (naming.BACKUP_KEY,)))
    if spec.backup and spec.backup.destination.s3:
        credentials = spec.backup.destination.s3.secret_name
        found.append(("spec.backup.destination.s3.secretName", credentials, _CREDENTIALS["s3"]))
    for index, one in enumerate(spec.export.destinations):
        kind = next((kind for kind in _CREDENTIALS if getattr(one, kind)), None)
        if kind and one.remote:
            keys = _CREDENTIALS[kind] + ((one.remote.ca_key,) if one.remote.ca_key else ())
            field = f"spec.export.destinations[{index}].{kind}.secretName"
            found.append((field, one.remote.secret_name, keys))
    if spec.webhooks.assemblyai:
        given, keys = spec.webhooks.assemblyai.secret_name, (webhooks.HEADERS, webhooks.KEY)
        found.append(("spec.webhooks.assemblyai.secretName", given, keys))
        own = spec.webhooks.tls.secret_name
        found.append(("spec.webhooks.tls.secretName", own, ("tls.crt", "tls.key")))
    for index, hook in enumerate(spec.limits.alerts.webhooks):
        keys = (limits.HEADER, *([hook.ca_key] if hook.ca_key else []))
        found.append((f"spec.limits.alerts.webhooks[{index}].secretName", hook.secret_name, keys))
    return [(field, name, keys) for field, name, keys in found if name]


def _secret(
    found: Object | None, context: Context, field: str, name: str, keys: tuple[str, ...]
) -> tuple[secrets.Data, Trouble | None]:
    if found is None:
        otherwise = " to have one generated" if field.startswith(_GENERATED) else ""
        return {}, Trouble(
            "SecretMissing",
            f"{field}: there is no Secret {name} in namespace {context.resource.namespace}: make "
            f"one with the keys {' and '.join(keys)}, or remove the field{otherwise}",
        )
    data = secrets.decode(found)
    missing = [key for key in keys if not data.get(key)]
    if missing:
        return data, Trouble(
            "SecretInvalid", f"{field}: Secret {name} lacks {' and '.join(missing)}: add it"
        )
    return data, None


def _read_at_start(field: str, data: secrets.Data) -> Trouble | None:
    """Check what collectors read at their start: one that is restarted would not come back."""
    problem = None
    if field == "spec.signing.secretName":
        problem = secrets.keys_problem(data)
    elif field == "spec.reporting.tokens.secretName":
        problem = secrets.tokens_problem(data)
    return Trouble("SecretInvalid", f"{field}: {problem}") if problem else None


def _backup_key(field: str, data: secrets.Data) -> Trouble | None:
    if len(data[naming.BACKUP_KEY].removesuffix(b"\n")) < 32:
        text = f"{field}: {naming.BACKUP_KEY} is shorter than 32 bytes: give it a longer one"
        return Trouble("SecretInvalid", text)
    return None


def _webhooks(field: str, data: secrets.Data, now: dt.datetime) -> Trouble | None:
    """Check what collectors would not start with."""
    if field == "spec.webhooks.assemblyai.secretName":
        problem = webhooks.headers_problem(data[webhooks.HEADERS])
    elif field == "spec.webhooks.tls.secretName":
        problem = pki.problem(pki.Pair(data["tls.crt"], data["tls.key"]), [], now)
    else:
        return None
    return Trouble("SecretInvalid", f"{field}: {problem}: mend it") if problem else None


def _certificate(
    context: Context, field: str, data: secrets.Data, zones: list[str], now: dt.datetime
) -> Trouble | None:
    """Check that a certificate of the user's serves every name by which we reach collectors."""
    names = context.names
    hosts = [names.service_host(names.ingest), names.service_host(names.reporting)]
    hosts += [f"*.{names.service_host(names.zone(zone))}" for zone in zones]
    reason = pki.problem(pki.Pair(data["tls.crt"], data["tls.key"]), hosts, now)
    if reason:
        text = f"{field}: {reason}: put a certificate with these names there"
        return Trouble("SecretInvalid", text)
    if issuer := pki.stranger(data["tls.crt"], data.get("ca.crt", b"")):
        text = (
            f"{field}: tls.crt was issued by {issuer}, whose own certificate is not there for "
            "clients to trust: add it to the Secret as ca.crt"
        )
        return Trouble("SecretInvalid", text)
    return None


async def _issued(
    client: Client, context: Context, seen: Observed
) -> tuple[Object | None, Trouble | None]:
    """Look up the Secret that cert-manager makes; say why it is not there yet."""
    name, field = context.names.issued, "spec.ingest.tls.issuerRef"
    if "Certificate" in seen.silent:
        raise seen.silent["Certificate"]
    if "Certificate" not in seen.offered:
        text = f"{field}: the cluster does not know cert-manager.io: install cert-manager"
        return None, Trouble("CertificatePending", text)
    found = await client.get("Secret", context.resource.namespace, name)
    data = secrets.decode(found)
    if data.get("tls.crt") and data.get("tls.key"):
        return found, None
    asked = seen.objects.get(Ref("Certificate", context.names.tls)) or {}
    said = "; ".join(
        str(one.get("message"))
        for one in (asked.get("status") or {}).get("conditions") or []
        if one.get("status") != "True" and one.get("message")
    )
    text = f"{field}: cert-manager has not issued Secret {name} yet" + (
        f" ({said})" if said else ""
    )
    hint = f": see kubectl -n {context.resource.namespace} describe certificate {context.names.tls}"
    return found, Trouble("CertificatePending", text + hint)


async def _client_ca(client: Client, context: Context) -> tuple[Object | None, Trouble | None]:
    """Look at the authority of clients' certificates: collectors cannot start without it."""
    wanted = context.spec.ingest.tls.client_ca
    if wanted is None:
        return None, None
    kind = "Secret" if wanted.secret_name else "ConfigMap"
    name = wanted.secret_name or wanted.config_map_name or ""
    found = await client.get(kind, context.resource.namespace, name)
    if found is None:
        text = f"there is no {kind} {name} in namespace {context.resource.namespace}: make it"
        return None, Trouble("ClientCAMissing", f"spec.ingest.tls.clientCA: {text}")
    if wanted.secret_name:
        pem = secrets.decode(found).get(wanted.key, b"")
    else:
        pem = str((found.get("data") or {}).get(wanted.key, "")).encode()
    if not pki.readable(pem):
        text = f"{kind} {name} has no certificates, PEM, in {wanted.key}: put them there"
        return found, Trouble("ClientCAInvalid", f"spec.ingest.tls.clientCA: {text}")
    return found, None


async def check(
    client: Client, context: Context, seen: Observed, zones: list[str], now: dt.datetime
) -> References:
    """Look up everything that the resource refers to."""
    trusted, there, pending = [], [], None
    troubles: list[Trouble] = []
    spared: dict[str, list[Trouble]] = {"export": [], "backup": [], "limits": []}
    for field, name, keys in _wanted(context):
        found = await client.get("Secret", context.resource.namespace, name)
        there += [found] if found is not None else []
        data, trouble = _secret(found, context, field, name, keys)
        trouble = trouble or _read_at_start(field, data)
        if trouble is None and field == "spec.backup.encryption.secretName":
            trouble = _backup_key(field, data)
        trouble = trouble or _webhooks(field, data, now)
        if trouble is None and field == "spec.ingest.tls.secretName":
            trouble = _certificate(context, field, data, zones, now)
            # A certificate that signed itself comes without an authority and is trusted directly.
            trusted.append(data.get("ca.crt") or data["tls.crt"])
        if trouble is not None:
            spared.get(field.split(".")[1], troubles).append(trouble)
    if context.spec.ingest.tls.issuer_ref:
        issued, pending = await _issued(client, context, seen)
        if issued is not None:
            there.append(issued)
            trusted.append(secrets.decode(issued).get("ca.crt", b""))
    authority, trouble = await _client_ca(client, context)
    troubles += [trouble] if trouble else []
    lacking = await classes.check(client, context.spec)
    for lack in lacking:
        spared.get(lack.component, troubles).append(lack.trouble)
    return References(
        tuple(troubles),
        tuple(spared["export"]),
        tuple(spared["backup"]),
        tuple(spared["limits"]),
        pending=pending,
        trusted=tuple(trusted),
        secrets=tuple(there),
        authority=(authority,) if authority is not None else (),
        classes=tuple(lack.name for lack in lacking if lack.name),
    )
