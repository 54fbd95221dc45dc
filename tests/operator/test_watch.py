"""From events to keys."""

from __future__ import annotations

import copy
from typing import Any

from tests.operator.support import as_observed, context, document
from usage_operator.kube import Mirror
from usage_operator.manifests import service
from usage_operator.reconcile import Key
from usage_operator.watch import CHILDREN, Watch, listen


async def keys(*events: tuple[str | None, dict[str, Any]]) -> list[Key]:
    """Give the keys that a series of events of resources puts on the queue."""
    found: list[Key] = []
    watch = Watch(lambda key, _: found.append(key))
    for kind, thing in events:
        await watch.resource({"type": kind, "object": thing})
    return found


def later(thing: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Give a newer version of an object."""
    metadata = thing["metadata"] | {"resourceVersion": "8", "managedFields": [{"time": "later"}]}
    return copy.deepcopy(thing) | {"metadata": metadata} | changed


SPEECH = Key("metering", "speech")


async def test_a_status_of_the_resource_is_no_news() -> None:
    """Our own status writes do not wake us; a changed spec does."""
    thing = document()
    assert await keys((None, thing), ("MODIFIED", later(thing, status={"x": 1}))) == [SPEECH]
    changed = later(thing, spec={"zones": []})
    assert await keys((None, thing), ("MODIFIED", changed)) == [SPEECH, SPEECH]


async def test_an_annotation_is_news() -> None:
    """The discard annotation is read from the metadata."""
    thing = document()
    metadata = thing["metadata"] | {"annotations": {"usage-operator.io/discard": "a"}}
    assert len(await keys((None, thing), ("MODIFIED", later(thing) | {"metadata": metadata}))) == 2


async def test_a_deleted_resource_is_news() -> None:
    """Its last words are said, and one of the same name begins anew."""
    thing = document()
    assert await keys((None, thing), ("DELETED", thing), ("ADDED", thing)) == [SPEECH] * 3


def test_the_mirror_wakes_a_resource() -> None:
    """A changed child puts its resource on the queue, a little later: changes come in bursts."""
    found: list[tuple[Key, float]] = []
    mirror = Mirror(CHILDREN)
    listen(mirror, lambda key, after: found.append((key, after)))
    mirror.take(as_observed(service.ingest(context())))
    assert found == [(SPEECH, 0.3)]
