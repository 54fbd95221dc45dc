"""What the pods of collectors and exports have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from usage_operator import naming

if TYPE_CHECKING:
    from usage_operator.manifests.metadata import Context
    from usage_operator.spec import ClientCa

_DEFAULT_RESOURCES = {
    "requests": {"cpu": "100m", "memory": "128Mi"},
    "limits": {"memory": "512Mi"},
}

CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
"""With the pod's own context, the restricted level of the Pod Security Standards."""


def security(context: Context) -> dict[str, Any]:
    """Build a pod's security context: the restricted level, with the ids a platform prescribes."""
    wanted = context.spec.template.security_context
    return {
        "runAsNonRoot": True,
        "runAsUser": wanted.run_as_user or naming.USER,
        "runAsGroup": wanted.run_as_group or naming.USER,
        "fsGroup": wanted.fs_group or naming.USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def resources(context: Context) -> dict[str, Any]:
    """Build a container's requests and limits."""
    wanted = context.spec.template.resources.model_dump(exclude_defaults=True)
    return wanted or _DEFAULT_RESOURCES


def template(
    context: Context, component: str, spec: dict[str, Any], zone: str | None = None
) -> dict[str, Any]:
    """Build a pod template around what is the component's own."""
    wanted = context.spec.template
    common: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": security(context),
    }
    if wanted.tolerations:
        common["tolerations"] = [
            toleration.model_dump(by_alias=True, exclude_none=True)
            for toleration in wanted.tolerations
        ]
    if wanted.affinity:
        common["affinity"] = wanted.affinity
    if wanted.priority_class_name:
        common["priorityClassName"] = wanted.priority_class_name
    if wanted.image_pull_secrets:
        common["imagePullSecrets"] = [{"name": one.name} for one in wanted.image_pull_secrets]
    metadata: dict[str, Any] = {"labels": wanted.labels | context.names.labels(component, zone)}
    if wanted.annotations:
        metadata["annotations"] = dict(wanted.annotations)
    return {"metadata": metadata, "spec": common | spec}


def files(context: Context, *parts: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Build the volumes and mounts of the named parts: tls, client-ca, keys, tokens, ca, peers.

    Each is a directory under /etc/usage, read-only and updated in place by the kubelet.
    """
    spec, names = context.spec, context.names
    sources: dict[str, dict[str, Any]] = {
        "tls": _secret(context.tls_secret),
        "keys": _secret(spec.signing.secret_name or names.keys),
        "tokens": _secret(spec.reporting.tokens.secret_name or names.tokens),
        "ca": {"configMap": {"name": names.ca}},
        "peers": {"configMap": {"name": names.peers}},
        "client-ca": _authority(spec.ingest.tls.client_ca),
    }
    volumes = [{"name": part, **sources[part]} for part in parts]
    mounts = [
        {"name": part, "mountPath": f"{naming.FILES_DIR}/{part}", "readOnly": True}
        for part in parts
    ]
    return volumes, mounts


def _authority(wanted: ClientCa | None) -> dict[str, Any]:
    """Mount the authority of clients' certificates, whatever its key is called, as ca.crt."""
    if wanted is None:
        return {}
    items = [{"key": wanted.key, "path": "ca.crt"}]
    if wanted.secret_name:
        mounted = _secret(wanted.secret_name)
        return {"secret": mounted["secret"] | {"items": items}}
    return {"configMap": {"name": wanted.config_map_name, "items": items}}


def _secret(name: str) -> dict[str, Any]:
    """Mount a Secret so that the pod's group, not everyone, can read it."""
    return {"secret": {"secretName": name, "defaultMode": 0o440}}


def environment(values: dict[str, str]) -> list[dict[str, Any]]:
    """Write plain variables as a container's env."""
    return [{"name": name, "value": value} for name, value in values.items()]
