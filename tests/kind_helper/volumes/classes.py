"""The storage classes that the volume controller serves."""

from typing import Any

PROVISIONER = "usage-operator.io/kind-volumes"
GROWING = "usage-local"
"""The default class; its volumes can grow."""
FIXED = "usage-fixed"
"""A class like it whose volumes cannot."""


def storage_classes() -> list[dict[str, Any]]:
    """Both classes: bound at first use, in the zone of the pod, deleted with the claim."""
    return [_storage_class(GROWING, default=True), _storage_class(FIXED, default=False)]


def _storage_class(name: str, *, default: bool) -> dict[str, Any]:
    marked = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": marked},
        "provisioner": PROVISIONER,
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": default,
        "reclaimPolicy": "Delete",
    }
