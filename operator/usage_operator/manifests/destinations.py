"""Where months go, as the collector's command takes it; secrets are files, never words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from usage_operator import naming

if TYPE_CHECKING:
    from usage_operator.spec import Destination, ExportBucket, ExportMail, ExportSite
    from usage_operator.spec.delivery import Export

_NAME = "destination-{}"


def _folder(index: int) -> str:
    return f"{naming.FILES_DIR}/{_NAME.format(index)}"


def _options(
    wanted: ExportBucket | ExportMail | ExportSite, index: int, own: dict[str, object]
) -> str:
    """Write the options that are given, and where the secrets lie."""
    own["credentials"] = _folder(index) if wanted.secret_name else None
    own["ca-file"] = f"{_folder(index)}/{wanted.ca_key}" if wanted.ca_key else None
    return urlencode({name: value for name, value in own.items() if value}, safe=":/@")


def _bucket(wanted: ExportBucket, index: int) -> str:
    style = None if wanted.path_style is None else str(wanted.path_style).lower()
    own: dict[str, object] = {
        "endpoint": wanted.endpoint,
        "region": wanted.region,
        "path-style": style,
        "sse": wanted.sse,
        "sse-kms-key-id": wanted.sse_kms_key_id,
    }
    query = _options(wanted, index, own)
    path = "/".join(filter(None, (wanted.bucket, wanted.prefix.strip("/"))))
    return f"s3://{path}" + (f"?{query}" if query else "")


def _mail(wanted: ExportMail, index: int) -> str:
    own: dict[str, object] = {
        "from": wanted.sender,
        "host": wanted.host,
        "port": wanted.port,
        "tls": wanted.tls,
        "megabytes": wanted.megabytes,
    }
    recipients = ",".join(quote(one, safe="@+") for one in wanted.to)
    return f"mailto:{recipients}?{_options(wanted, index, own)}"


def _site(wanted: ExportSite, index: int) -> str:
    return f"{wanted.url}#{_options(wanted, index, {'method': wanted.method.lower()})}"


def place(wanted: Destination, index: int) -> str:
    """Give a destination as `export-month --to` takes it."""
    if wanted.s3:
        return _bucket(wanted.s3, index)
    if wanted.email:
        return _mail(wanted.email, index)
    if wanted.https:
        return _site(wanted.https, index)
    return naming.EXPORT_DIR


def secrets(export: Export) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Give volumes and mounts of the destinations' Secrets, readable for the pod's group."""
    volumes: list[dict[str, Any]] = []
    mounts: list[dict[str, Any]] = []
    for index, one in enumerate(export.destinations):
        if one.remote and one.remote.secret_name:
            secret = {"secretName": one.remote.secret_name, "defaultMode": 0o440}
            volumes.append({"name": _NAME.format(index), "secret": secret})
            mounts.append(
                {"name": _NAME.format(index), "mountPath": _folder(index), "readOnly": True}
            )
    return volumes, mounts
