"""What the cluster has of the kinds that are watched: read from here, it costs no request.

A mirror is as old as the last event of its watches. Whoever writes tells it what the API server
answered, so that nobody acts on what was there before a write of his own.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from usage_operator import naming
from usage_operator.kube.essence import essence, pack, signature, text, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from usage_operator.kube.essence import Object

Place = tuple[str, str]
"""Namespace and name."""


_REMEMBERED = 1000
"""So many objects that went are known by their last version: an answer to a write may come late."""


class _Entry(NamedTuple):
    """An object: whose it is by its label, which version, what matters of it, and itself."""

    instance: str
    version: int
    signature: int
    packed: bytes


def _version(thing: Object) -> int:
    """Give an object's version as a number: the API server counts all writes."""
    text = str(thing["metadata"].get("resourceVersion"))
    return int(text) if text.isdigit() else 0


class Mirror:
    """Objects by kind, and by the resource that their labels name.

    Whoever ``listen``s is called with namespace and instance when something that matters changed,
    unless it was our own write.
    """

    def __init__(self, kinds: Collection[str]) -> None:
        self._changed: Callable[[str, str], None] = lambda *_: None
        self._things: dict[str, dict[Place, _Entry]] = {kind: {} for kind in kinds}
        self._models: dict[str, bytes] = {}
        self._of: dict[Place, set[tuple[str, str]]] = {}
        self._gone: dict[tuple[str, Place], int] = {}
        self._whole: set[tuple[str, str | None]] = set()

    def __len__(self) -> int:
        """Count the objects."""
        return sum(len(things) for things in self._things.values())

    def listen(self, changed: Callable[[str, str], None]) -> None:
        """Let somebody know of changes from now on."""
        self._changed = changed

    def whole(self, kind: str, namespace: str | None, known: bool = True) -> None:
        """Take note that a kind is known, or not any more, in a namespace or (None) in all."""
        if known:
            self._whole.add((kind, namespace))
        else:
            self._whole.discard((kind, namespace))

    def list(self, kind: str, namespace: str, instance: str) -> list[Object] | None:
        """Give a resource's objects of a kind, by name; None: ask the API server."""
        if not self._whole & {(kind, namespace), (kind, None)}:
            return None
        names = sorted(name for one, name in self._of.get((namespace, instance), ()) if one == kind)
        found = [self._things[kind][namespace, name].packed for name in names]
        return [unpack(packed, self._models[kind]) for packed in found]

    def wrote(self, thing: Object) -> None:
        """Take what the API server answered to a write of ours."""
        if thing.get("kind") in self._things:
            self._take(thing)

    def take(self, thing: Object) -> None:
        """Take an object that is listed, or of which a watch told."""
        for instance in self._take(thing):
            self._changed(thing["metadata"]["namespace"], instance)

    def _take(self, thing: Object) -> set[str]:
        """Take an object; give the resources to which its change matters."""
        kind, metadata = thing["kind"], thing["metadata"]
        place, version = (metadata["namespace"], metadata["name"]), _version(thing)
        before = self._things[kind].get(place)
        known = before.version if before else self._gone.get((kind, place), 0)
        if known >= version > 0:
            return set()
        labels = metadata.get("labels") or {}
        if labels.get(naming.MANAGED_BY) != naming.FIELD_MANAGER or naming.INSTANCE not in labels:
            return self._drop(kind, place)
        kept = essence(thing)
        # The first of a kind is what the others are like.
        packed = pack(kept, self._models.setdefault(kind, text(kept)))
        entry = _Entry(sys.intern(labels[naming.INSTANCE]), version, signature(kept), packed)
        news: set[str] = set()
        if before and before.instance != entry.instance:
            news = self._drop(kind, place)
        self._things[kind][place] = entry
        self._of.setdefault((place[0], entry.instance), set()).add((kind, place[1]))
        if before is None or before.signature != entry.signature:
            news.add(entry.instance)
        return news

    def remove(self, thing: Object) -> None:
        """Take note that an object is gone."""
        place = (thing["metadata"]["namespace"], thing["metadata"]["name"])
        self._end(thing["kind"], place, _version(thing))

    def _end(self, kind: str, place: Place, version: int) -> None:
        """Forget an object of that version or an older one (0: of any), and tell of it."""
        before = self._things[kind].get(place)
        if before and 0 < version < before.version:
            return
        self._gone[kind, place] = version
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]
        for instance in self._drop(kind, place):
            self._changed(place[0], instance)

    def keep(
        self, kind: str, namespace: str | None, listed: Collection[Place], version: str
    ) -> None:
        """Drop what a whole list of this version did not have; a newer object stays."""
        limit = int(version) if version.isdigit() else 0
        gone = [
            place
            for place in self._things[kind]
            if place not in listed and namespace in {None, place[0]}
        ]
        for place in gone:
            self._end(kind, place, limit)

    def _drop(self, kind: str, place: Place) -> set[str]:
        """Forget an object; give the resource that it was of."""
        before = self._things[kind].pop(place, None)
        if before is None:
            return set()
        owner = (place[0], before.instance)
        self._of[owner].discard((kind, place[1]))
        if not self._of[owner]:
            del self._of[owner]
        return {before.instance}
