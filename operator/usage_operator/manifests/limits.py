"""Plans, quotas, alerts and rates as collectors read them from a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from usage_operator import naming
from usage_operator.manifests.metadata import Context, Manifest, base
from usage_operator.spec import Limits

if TYPE_CHECKING:
    from usage_operator.spec import AlertHook

HEADER = "USAGE_HTTPS_HEADER"
FILE = "limits.json"
_FOLDER = f"{naming.FILES_DIR}/alerts"


def given(context: Context) -> bool:
    """Tell whether there are limits; pods without need no file, and are left as they are."""
    return context.spec.limits != Limits()


def build(context: Context) -> list[Manifest]:
    """Build the ConfigMap with the file, if there are limits."""
    if not given(context):
        return []
    manifest = base(context, ("v1", "ConfigMap"), context.names.limits, naming.COLLECTOR)
    manifest["data"] = {FILE: json.dumps(_content(context), indent=1, sort_keys=True) + "\n"}
    return [manifest]


def _content(context: Context) -> dict[str, Any]:
    limits = context.spec.limits
    return {
        "name": f"{context.resource.namespace}/{context.resource.name}",
        "gets_per_second": limits.requests.gets_per_second,
        "posts_per_second": limits.requests.posts_per_second,
        "plans": {
            plan.name: plan.model_dump(exclude={"name"}, exclude_none=True) for plan in limits.plans
        },
        "quotas": {
            quota.customer: quota.model_dump(exclude={"customer"}, exclude_none=True)
            for quota in limits.quotas
        },
        "thresholds": list(limits.alerts.thresholds),
        "webhooks": [_hook(hook, index) for index, hook in enumerate(limits.alerts.webhooks)],
    }


def _hook(hook: AlertHook, index: int) -> dict[str, Any]:
    folder = f"{_FOLDER}/{index}"
    return {
        "url": hook.url,
        "header_file": f"{folder}/{HEADER}" if hook.secret_name else None,
        "ca_file": f"{folder}/{hook.ca_key}" if hook.ca_key else None,
        "insecure": hook.insecure,
    }


def mounted(context: Context) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Give volumes and mounts of the file and of the webhooks' Secrets.

    A Secret that is missing holds up alerts only: pods start without it.
    """
    if not given(context):
        return [], []
    volumes: list[dict[str, Any]] = [
        {"name": "limits", "configMap": {"name": context.names.limits}}
    ]
    secrets = [
        _secret(hook, hook.secret_name, index)
        for index, hook in enumerate(context.spec.limits.alerts.webhooks)
        if hook.secret_name
    ]
    if secrets:
        volumes.append({"name": "alerts", "projected": {"defaultMode": 0o440, "sources": secrets}})
    mounts = [
        {
            "name": volume["name"],
            "mountPath": f"{naming.FILES_DIR}/{volume['name']}",
            "readOnly": True,
        }
        for volume in volumes
    ]
    return volumes, mounts


def _secret(hook: AlertHook, name: str, index: int) -> dict[str, Any]:
    keys = [HEADER, *([hook.ca_key] if hook.ca_key else [])]
    items = [{"key": key, "path": f"{index}/{key}"} for key in dict.fromkeys(keys)]
    return {"secret": {"name": name, "items": items, "optional": True}}


def environment(context: Context) -> dict[str, str]:
    """Tell collectors where the file is."""
    return {"USAGE_LIMITS_FILE": f"{naming.FILES_DIR}/limits/{FILE}"} if given(context) else {}


def ports(context: Context) -> list[int]:
    """List the TCP ports that collectors tell of alerts."""
    found = set()
    for hook in context.spec.limits.alerts.webhooks:
        parts = urlsplit(hook.url)
        found.add(parts.port or (443 if parts.scheme == "https" else 80))
    return sorted(found)
