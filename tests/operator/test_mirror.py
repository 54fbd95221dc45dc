"""What is remembered of the cluster, and what of its changes is told."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.operator.support import as_observed, context, pod, settled
from usage_operator import naming
from usage_operator.kube import Mirror
from usage_operator.manifests import service, statefulset

STATEFULSET = as_observed(statefulset.build(context(), context().spec.zones[0], 1), **settled(1))
SERVICE = as_observed(service.ingest(context()))
KINDS = ("StatefulSet", "Service", "Pod")


def of(thing: dict[str, Any], version: int = 7, **changed: Any) -> dict[str, Any]:
    """Give another version of an object."""
    metadata = thing["metadata"] | {"resourceVersion": str(version)}
    return copy.deepcopy(thing) | {"metadata": metadata | changed.pop("metadata", {})} | changed


def heard(*kinds: str) -> tuple[Mirror, list[str]]:
    """Give a mirror, and what it tells of."""
    mirror, told = Mirror(kinds or KINDS), list[str]()
    mirror.listen(lambda namespace, instance: told.append(f"{namespace}/{instance}"))
    return mirror, told


def names(mirror: Mirror, kind: str = "Service", instance: str = "speech") -> list[str]:
    """Give the names of what a mirror has of a resource."""
    return [one["metadata"]["name"] for one in mirror.list(kind, "metering", instance) or []]


def test_a_kind_is_known_once_it_was_listed() -> None:
    """Before, and when it may not be watched any more, the API server has to be asked."""
    mirror, _ = heard()
    assert mirror.list("Service", "metering", "speech") is None
    mirror.take(SERVICE)
    mirror.whole("Service", "metering")
    assert names(mirror) == ["speech"]
    assert mirror.list("Service", "elsewhere", "speech") is None
    assert mirror.list("StatefulSet", "metering", "speech") is None
    mirror.whole("Service", "metering", known=False)
    assert mirror.list("Service", "metering", "speech") is None
    mirror.whole("Service", None)
    assert names(mirror) == ["speech"]
    assert mirror.list("Service", "elsewhere", "speech") == []


def test_an_object_comes_back_as_it_was() -> None:
    """Nothing that the plan compares is lost, and of managed fields whose they are stays."""
    mirror, _ = heard()
    fields = [
        {"manager": "usage-operator", "operation": "Update", "fieldsV1": {"f:spec": {}}},
        {"manager": "somebody", "operation": "Apply"},
    ]
    mirror.take(of(STATEFULSET, metadata={"managedFields": fields}))
    mirror.whole("StatefulSet", "metering")
    (found,) = mirror.list("StatefulSet", "metering", "speech") or []
    kept = [{"manager": "usage-operator", "operation": "Update"}]
    assert found == of(STATEFULSET, metadata={"managedFields": kept})


def test_of_a_pod_what_is_told_stays() -> None:
    """Where it runs and why it does not; its containers' settings are its StatefulSet's."""
    mirror, _ = heard()
    labels = pod("speech-a-0", "a")["metadata"]["labels"] | {
        naming.MANAGED_BY: naming.FIELD_MANAGER
    }
    spec = {"nodeName": "n", "nodeSelector": {"a": "b"}, "containers": [{"name": "c"}]}
    mirror.take(of(pod("speech-a-0", "a"), metadata={"labels": labels}, spec=spec))
    mirror.whole("Pod", None)
    (found,) = mirror.list("Pod", "metering", "speech") or []
    assert found["spec"] == {"nodeName": "n", "nodeSelector": {"a": "b"}}
    assert found["status"]["phase"] == "Running"


def test_readiness_of_a_child_is_news_but_its_clock_is_not() -> None:
    """Of a child's status only what the conditions are judged by is told, and all is kept."""
    mirror, told = heard()
    mirror.take(STATEFULSET)
    mirror.take(of(STATEFULSET, 8, status=settled(1) | {"collisionCount": 5}))
    assert told == ["metering/speech"]
    mirror.take(of(STATEFULSET, 9, status=settled(1) | {"readyReplicas": 0}))
    assert told == ["metering/speech"] * 2


def test_an_own_write_is_no_news() -> None:
    """Neither is the event that tells of it; what somebody else makes of it is."""
    mirror, told = heard()
    mirror.wrote(of(SERVICE, 8))
    mirror.take(of(SERVICE, 8))
    mirror.take(of(SERVICE, 7, spec={}))
    mirror.whole("Service", "metering")
    assert not told
    assert (mirror.list("Service", "metering", "speech") or [{}])[0]["spec"] == SERVICE["spec"]
    mirror.take(of(SERVICE, 9, spec={}))
    assert told == ["metering/speech"]
    mirror.wrote({"kind": "Secret", "metadata": {"name": "speech-keys"}})


def test_what_is_gone_is_news_unless_it_came_again() -> None:
    """The end of an earlier object of that name, told late, takes nothing away."""
    mirror, told = heard()
    mirror.wrote(of(SERVICE, 9))
    mirror.remove(of(SERVICE, 8))
    mirror.whole("Service", "metering")
    assert (names(mirror), told) == (["speech"], [])
    mirror.remove(of(SERVICE, 10))
    assert (names(mirror), told) == ([], ["metering/speech"])
    assert len(mirror) == 0


def test_a_late_answer_brings_nothing_back() -> None:
    """An answer to a write may come after the event that tells that the object went."""
    mirror, told = heard()
    mirror.take(SERVICE)
    mirror.remove(of(SERVICE, 9))
    mirror.wrote(of(SERVICE, 8))
    mirror.whole("Service", "metering")
    assert (names(mirror), told) == ([], ["metering/speech"] * 2)
    mirror.wrote(of(SERVICE, 10))
    assert names(mirror) == ["speech"]
    mirror.keep("Service", "metering", set(), "12")
    mirror.wrote(of(SERVICE, 11))
    assert names(mirror) == []


def test_a_changed_label_is_told_to_both() -> None:
    """A child that is given to another resource is missed by its own."""
    mirror, told = heard()
    mirror.take(SERVICE)
    labels = SERVICE["metadata"]["labels"] | {naming.INSTANCE: "other"}
    mirror.take(of(SERVICE, 8, metadata={"labels": labels}))
    mirror.whole("Service", "metering")
    assert sorted(told[1:]) == ["metering/other", "metering/speech"]
    assert (names(mirror), names(mirror, instance="other")) == ([], ["speech"])
    mirror.take(of(SERVICE, 9, metadata={"labels": {}}))
    assert told[3:] == ["metering/other"]
    assert len(mirror) == 0


def test_what_vanished_while_the_watch_was_cut_is_noticed() -> None:
    """What a whole list has not is gone, unless it was made since, or belongs elsewhere."""
    mirror, told = heard()
    for name, version in {"a": 1, "b": 2, "new": 30}.items():
        mirror.take(of(SERVICE, version, metadata={"name": name}))
    mirror.take(of(SERVICE, 3, metadata={"name": "far", "namespace": "elsewhere"}))
    told.clear()
    mirror.keep("Service", "metering", {("metering", "a")}, "20")
    mirror.whole("Service", None)
    assert names(mirror) == ["a", "new"]
    assert told == ["metering/speech"]
    mirror.keep("Service", None, set(), "40")
    assert sorted(told[1:]) == ["elsewhere/speech", "metering/speech", "metering/speech"]


@given(st.permutations(range(1, 7)), st.lists(st.booleans(), min_size=6, max_size=6))
def test_the_newest_wins_in_whatever_order(order: list[int], ours: list[bool]) -> None:
    """Answers to writes and events overtake each other: the newest version is what stays."""
    mirror, _ = heard()
    for version, own in zip(order, ours, strict=True):
        thing = of(SERVICE, version, spec={"clusterIP": str(version)})
        (mirror.wrote if own else mirror.take)(thing)
    mirror.whole("Service", None)
    (found,) = mirror.list("Service", "metering", "speech") or []
    assert found["spec"] == {"clusterIP": "6"}
