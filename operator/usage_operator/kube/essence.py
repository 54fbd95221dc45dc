"""What of an object is worth remembering, and when a change of it says something."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from usage_operator import naming

if TYPE_CHECKING:
    from collections.abc import Mapping

Object = dict[str, Any]

_NOISE = ("resourceVersion", "managedFields")
_TELLING = {
    "StatefulSet": (
        "readyReplicas",
        "availableReplicas",
        "updatedReplicas",
        "currentRevision",
        "updateRevision",
        "observedGeneration",
    ),
    "Deployment": ("availableReplicas", "updatedReplicas", "observedGeneration"),
    "Job": ("succeeded", "failed", "conditions"),
    "PersistentVolumeClaim": ("phase", "capacity"),
    "Pod": ("phase", "conditions", "containerStatuses"),
    "Certificate": ("conditions",),
}
"""Fields of a child's status that matter; all else in a status does not."""
_MANAGERS = ("manager", "operation", "subresource")
_SPOKEN = ("nodeName", "nodeSelector")
"""What matters of a pod's spec: the rest is its StatefulSet's or job's."""


def essence(thing: Object) -> Object:
    """Give what is worth remembering of an object."""
    metadata = {key: value for key, value in thing["metadata"].items() if key != "managedFields"}
    fields = thing["metadata"].get("managedFields") or []
    ours = [entry for entry in fields if entry.get("manager") == naming.FIELD_MANAGER]
    # Which fields they are is most of many an object, and nobody asks but for a claim's class.
    metadata["managedFields"] = [
        {key: value for key, value in entry.items() if key in _MANAGERS} | _class(entry)
        for entry in ours
    ]
    kept = thing | {"metadata": metadata}
    if thing["kind"] == "Pod":
        spec = thing.get("spec") or {}
        kept["spec"] = {name: spec[name] for name in _SPOKEN if name in spec}
    return kept


def _class(entry: Object) -> Object:
    chosen = "f:storageClassName"
    spec = (entry.get("fieldsV1") or {}).get("f:spec") or {}
    return {"fieldsV1": {"f:spec": {chosen: spec[chosen]}}} if chosen in spec else {}


def signature(thing: Mapping[str, Any]) -> int:
    """Give a number that changes when something about an object changed that matters to us."""
    kept = {key: value for key, value in thing.items() if key not in {"status", "metadata"}}
    metadata = {key: value for key, value in thing["metadata"].items() if key not in _NOISE}
    status = thing.get("status") or {}
    telling = [status.get(field) for field in _TELLING.get(thing.get("kind", ""), ())]
    return hash(json.dumps([kept, metadata, telling], sort_keys=True))


def text(thing: Object) -> bytes:
    """Write an object down."""
    return json.dumps(thing, separators=(",", ":")).encode()


def pack(thing: Object, model: bytes) -> bytes:
    """Make an object small; ``model`` is the text of another of its kind, which is much alike."""
    squeezing = zlib.compressobj(1, zdict=model)
    return squeezing.compress(text(thing)) + squeezing.flush()


def unpack(packed: bytes, model: bytes) -> Object:
    """Give a packed object back; ``model`` is the one that it was packed with."""
    found: Object = json.loads(zlib.decompressobj(zdict=model).decompress(packed))
    return found
