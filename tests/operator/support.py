"""Resources, objects and golden files for the operator's tests."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import yaml

from usage_operator import manifests, spec

NOW = dt.datetime(2026, 11, 5, 12, 0, tzinfo=dt.UTC)
GOLDEN = Path(__file__).parent / "golden"


def document(name: str = "speech", **fields: Any) -> dict[str, Any]:
    """Give a UsageCollector; fields are those of its spec."""
    return {
        "apiVersion": "usage-operator.io/v1",
        "kind": "UsageCollector",
        "metadata": {"name": name, "namespace": "metering", "uid": "uid-1", "generation": 1},
        "spec": {"zones": [{"name": "eu-1a"}], **fields},
    }


def context(**fields: Any) -> manifests.Context:
    """Give the context of a resource with these fields of the spec."""
    return manifests.Context(spec.parse(document(**fields)), "usage-collector:1.2.3")


def golden(name: str, manifest: Any) -> None:
    """Compare with the file of that name; with UPDATE_GOLDEN set, write it instead."""
    path = GOLDEN / f"{name}.yaml"
    text = yaml.safe_dump(manifest, sort_keys=True, width=100)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs: UPDATE_GOLDEN=1 writes it, then review it"


def as_observed(manifest: dict[str, Any], **status: Any) -> dict[str, Any]:
    """Give a manifest as the API would: with a uid, a version, and a status."""
    metadata = {"uid": f"uid-of-{manifest['metadata']['name']}", "resourceVersion": "7"}
    return {
        **manifest,
        "metadata": metadata | {"generation": 1} | manifest["metadata"],
        **({"status": status} if status else {}),
    }


def settled(replicas: int = 1) -> dict[str, Any]:
    """Give the status of a StatefulSet that is rolled out."""
    return {
        "observedGeneration": 1,
        "currentRevision": "r1",
        "updateRevision": "r1",
        "readyReplicas": replicas,
        "availableReplicas": replicas,
        "updatedReplicas": replicas,
    }


def pod(name: str, zone: str, *, ready: bool = True, **status: Any) -> dict[str, Any]:
    """Give a collector's pod."""
    condition = {"type": "Ready", "status": str(ready)}
    labels = {
        "usage-operator.io/zone": zone,
        "app.kubernetes.io/component": "collector",
        "app.kubernetes.io/instance": "speech",
    }
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "metering", "labels": labels},
        "status": {"phase": "Running", "conditions": [condition], **status},
    }
