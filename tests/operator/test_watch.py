"""From events to keys."""

from __future__ import annotations

import copy
from typing import Any

from tests.operator.support import as_observed, context, document, settled
from usage_operator.manifests import service, statefulset
from usage_operator.reconcile import Key
from usage_operator.watch import Watch


async def keys(*events: tuple[str | None, dict[str, Any]]) -> list[Key]:
    """Give the keys that a series of events puts on the queue."""
    found: list[Key] = []
    watch = Watch(lambda key, _: found.append(key))
    for kind, thing in events:
        event = {"type": kind, "object": thing}
        handler = watch.resource if thing["kind"] == "UsageCollector" else watch.child
        await handler(event)
    return found


def later(thing: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Give a newer version of an object."""
    metadata = thing["metadata"] | {"resourceVersion": "8", "managedFields": [{"time": "later"}]}
    return copy.deepcopy(thing) | {"metadata": metadata} | changed


SPEECH = Key("metering", "speech")
STATEFULSET = as_observed(statefulset.build(context(), context().spec.zones[0], 1), **settled(1))


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


async def test_readiness_of_a_child_is_news_but_its_clock_is_not() -> None:
    """Of a child's status only what the conditions are judged by counts."""
    ready = later(STATEFULSET, status=settled(1) | {"readyReplicas": 0})
    other = later(STATEFULSET, status=settled(1) | {"collisionCount": 5})
    assert len(await keys((None, STATEFULSET), ("MODIFIED", ready))) == 2
    assert len(await keys((None, STATEFULSET), ("MODIFIED", other))) == 1


async def test_a_deleted_child_is_news() -> None:
    """What is gone has to come back."""
    thing = as_observed(service.ingest(context()))
    assert await keys((None, thing), ("DELETED", thing)) == [SPEECH, SPEECH]


async def test_an_object_of_nobody_is_ignored() -> None:
    """Without the label there is no key."""
    thing = as_observed(service.ingest(context()))
    thing["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "usage-operator"}
    assert await keys((None, thing)) == []


async def test_what_vanished_while_the_watch_was_cut_is_noticed() -> None:
    """A child that is missing when all is listed again puts its resource on the queue, once."""
    asked: list[Key] = []
    watch = Watch(lambda key, _: asked.append(key))
    thing = as_observed(service.ingest(context()))
    things = {name: {**thing, "metadata": thing["metadata"] | {"uid": name}} for name in "abcd"}

    async def listed(*names: str) -> None:
        for name in names:
            await watch.child({"type": None, "object": things[name]})
        watch.lists.complete("Service", "metering")

    await listed("a", "b", "c")
    assert len(asked) == 3
    await listed("a", "b", "c")
    await watch.child({"type": "DELETED", "object": things["c"]})
    assert len(asked) == 4
    await listed("a", "d")
    assert asked[4:] == [SPEECH, SPEECH]
    await listed("a", "d")
    assert len(asked) == 6


async def test_what_was_made_during_a_list_has_not_vanished() -> None:
    """An object that is added while all is listed is there, though it is not in the list."""
    asked: list[Key] = []
    watch = Watch(lambda key, _: asked.append(key))
    thing = as_observed(service.ingest(context()))
    new = {**thing, "metadata": thing["metadata"] | {"uid": "new"}}
    await watch.child({"type": None, "object": thing})
    await watch.child({"type": "ADDED", "object": new})
    watch.lists.complete("Service", "metering")
    assert len(asked) == 2
