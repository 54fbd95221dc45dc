"""ServiceAccounts of the pods; neither has any right, and no token is mounted."""

from __future__ import annotations

from usage_operator import naming
from usage_operator.manifests.metadata import Context, Manifest, base


def build(context: Context, component: str) -> Manifest:
    """Build the ServiceAccount of a component's pods."""
    names = context.names
    name = {
        naming.EXPORT: names.export,
        naming.BACKUP: names.backups,
        naming.PROXY: names.proxy,
    }.get(component, names.collector)
    manifest = base(context, ("v1", "ServiceAccount"), name, component)
    if annotations := context.spec.template.service_account_annotations:
        manifest["metadata"]["annotations"] = dict(annotations)
    manifest["automountServiceAccountToken"] = False
    return manifest
