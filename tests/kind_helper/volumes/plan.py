"""Decides what claims and volumes need; objects are plain dicts as the API sends them."""

from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

import kubernetes

from tests.kind_helper.volumes.classes import FIXED, GROWING, PROVISIONER

Object = dict[str, Any]

_UTILS: Any = kubernetes.utils
"""The client is typed in part only."""

MINIMUM = 300 * 1024 * 1024
"""Bytes; XFS refuses to be smaller."""
_BLOCK = 4096
_NODE = "volume.kubernetes.io/selected-node"
_SERVED_BY = "pv.kubernetes.io/provisioned-by"


def _bytes(text: str) -> Decimal:
    return Decimal(_UTILS.parse_quantity(text))


def size(request: str) -> int:
    """The bytes that a volume for this request gets: whole blocks, and at least `MINIMUM`."""
    blocks = (_bytes(request) / _BLOCK).to_integral_value(ROUND_CEILING)
    return max(int(blocks) * _BLOCK, MINIMUM)


def quantity(size: int) -> str:
    """Bytes as people read them in a volume's capacity."""
    mebibytes, rest = divmod(size, 1024 * 1024)
    return str(size) if rest else f"{mebibytes}Mi"


def requested(claim: Object) -> int:
    """The bytes that the claim's volume should have."""
    return size(claim["spec"]["resources"]["requests"]["storage"])


def volume_name(claim: Object) -> str:
    """The name of the volume made for the claim."""
    return f"pvc-{claim['metadata']['uid']}"


def wants_volume(claim: Object) -> str | None:
    """The node on which the claim waits for a volume of ours; None where it waits for none."""
    metadata, spec = claim["metadata"], claim["spec"]
    if spec.get("volumeName") or metadata.get("deletionTimestamp"):
        return None
    if spec.get("storageClassName") not in (GROWING, FIXED):
        return None
    if spec.get("volumeMode", "Filesystem") != "Filesystem":
        return None
    node: str | None = metadata.get("annotations", {}).get(_NODE)
    return node


def persistent_volume(claim: Object, node: str, folder: Path) -> Object:
    """The volume for a claim, tied to the claim and to the node."""
    metadata = claim["metadata"]
    on_node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": volume_name(claim), "annotations": {_SERVED_BY: PROVISIONER}},
        "spec": {
            "accessModes": claim["spec"]["accessModes"],
            "capacity": {"storage": quantity(requested(claim))},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "local": {"path": str(folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_node]}]}},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": claim["spec"]["storageClassName"],
            "volumeMode": "Filesystem",
        },
    }


def ours(volume: Object) -> bool:
    """Whether the volume was made here."""
    return bool(volume["metadata"].get("annotations", {}).get(_SERVED_BY) == PROVISIONER)


def grows_to(claim: Object) -> int | None:
    """The bytes to grow the claim's bound volume to; None when it is large enough.

    The API server lets claims ask for more only where their class allows it.
    """
    status = claim.get("status", {})
    if status.get("phase") != "Bound" or claim["spec"].get("volumeName") != volume_name(claim):
        return None
    has = _bytes(status.get("capacity", {}).get("storage", "0"))
    wanted = requested(claim)
    return wanted if wanted > has else None


def to_delete(volume: Object) -> bool:
    """Whether the volume's claim is gone and its data are to go with it."""
    policy = volume["spec"].get("persistentVolumeReclaimPolicy")
    phase = volume.get("status", {}).get("phase")
    return ours(volume) and policy == "Delete" and phase in ("Released", "Failed")
