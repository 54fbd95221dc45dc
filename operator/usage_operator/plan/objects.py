"""Objects as the API gives them: who they are and whose they are."""

from __future__ import annotations

import hashlib
import json
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from usage_operator import naming

if TYPE_CHECKING:
    from collections.abc import Mapping

Object = dict[str, Any]


class Ref(NamedTuple):
    """An object within one namespace."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def ref(thing: Mapping[str, Any]) -> Ref:
    """Give an object's kind and name."""
    return Ref(thing["kind"], thing["metadata"]["name"])


class Owner(Enum):
    """Whose an object is, seen from one resource."""

    OURS = "ours"
    LEAVING = "leaving"
    """Being deleted, or left by an earlier resource of the same name: it will go."""
    TAKEN = "taken"


def owner(thing: Mapping[str, Any], name: str, uid: str) -> Owner:
    """Tell whose an object is.

    Ours has our labels and no other controller. Without a controller it is ours too: keys,
    claims, and what ``kubectl delete --cascade=orphan`` left.
    """
    metadata = thing["metadata"]
    labels = metadata.get("labels") or {}
    if labels.get(naming.MANAGED_BY) != naming.FIELD_MANAGER or labels.get(naming.INSTANCE) != name:
        return Owner.TAKEN
    if metadata.get("deletionTimestamp"):
        return Owner.LEAVING
    owners = [one for one in metadata.get("ownerReferences") or [] if one.get("controller")]
    if not owners or owners[0].get("uid") == uid:
        return Owner.OURS
    earlier = owners[0].get("kind") == naming.KIND and owners[0].get("name") == name
    return Owner.LEAVING if earlier else Owner.TAKEN


def posted(thing: Mapping[str, Any]) -> bool:
    """Tell whether an object's fields are ours by a plain creation, and not by an apply."""
    return any(
        entry.get("manager") == naming.FIELD_MANAGER
        and entry.get("operation") == "Update"
        and not entry.get("subresource")
        for entry in thing["metadata"].get("managedFields") or []
    )


def classed(claim: Object) -> bool:
    """Tell whether we gave a claim its storage class; else a StatefulSet did, or the cluster."""
    return any(
        entry.get("manager") == naming.FIELD_MANAGER
        and "f:storageClassName" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
        for entry in claim["metadata"].get("managedFields") or []
    )


def digest(thing: object) -> str:
    """Give a short hash of a document's canonical form."""
    text = json.dumps(thing, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def stamped(manifest: Object) -> Object:
    """Give the manifest with the hash of its form, and of its pod template where it has one."""
    marks = {naming.HASH: digest(manifest)}
    if manifest["kind"] == "StatefulSet":
        marks[naming.TEMPLATE_HASH] = digest(manifest["spec"]["template"])
    metadata = manifest["metadata"]
    annotations = (metadata.get("annotations") or {}) | marks
    return manifest | {"metadata": metadata | {"annotations": annotations}}


def mark(thing: Mapping[str, Any], name: str) -> str | None:
    """Give an annotation of an object."""
    value: str | None = (thing["metadata"].get("annotations") or {}).get(name)
    return value
