"""Which collectors run."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.operator.support import as_observed, context, pod
from usage_operator.manifests import statefulset
from usage_operator.plan import empty, existing, muster

ZONES = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 4))


def discard(text: str) -> dict[str, str]:
    """Give the annotation."""
    return {"usage-operator.io/discard": text}


def test_a_zone_that_left_runs_on() -> None:
    """Without the annotation nothing is removed."""
    fleet = muster({"a": 1}, {"a": 3, "b": 2}, {})
    assert fleet.running == {"a": 3, "b": 2}
    assert fleet.leaving == {"a": 2, "b": 2}


def test_the_annotation_discards_a_zone() -> None:
    """A named zone goes as a whole, others stay."""
    fleet = muster({"a": 1}, {"a": 1, "b": 2, "c": 1}, discard("b"))
    assert fleet.running == {"a": 1, "c": 1}
    assert fleet.leaving == {"c": 1}


def test_the_annotation_discards_replicas_from_the_last() -> None:
    """A replica goes only when all behind it are discarded too."""
    running = {"a": 3}
    assert muster({"a": 1}, running, discard("a/1")).running == {"a": 3}
    assert muster({"a": 1}, running, discard("a/2")).running == {"a": 2}
    assert muster({"a": 1}, running, discard("a/1, a/2")).running == {"a": 1}


def test_the_annotation_never_touches_what_is_wanted() -> None:
    """A zone or replica of the spec runs whatever the annotation says; that it names it is told."""
    fleet = muster({"a": 2}, {"a": 2}, discard("a,a/1,b"))
    assert fleet.running == {"a": 2}
    assert fleet.idle_discards == ("a", "a/1")


@given(ZONES, ZONES)
def test_nothing_goes_without_a_word(wanted: dict[str, int], running: dict[str, int]) -> None:
    """Every collector that runs goes on running, and every one that is wanted will."""
    fleet = muster(wanted, running, {})
    for counts in (wanted, running):
        assert all(fleet.running[zone] >= count for zone, count in counts.items())
    assert sum(fleet.running.values()) - sum(wanted.values()) == sum(fleet.leaving.values())


def test_counts_come_from_statefulsets_or_else_from_pods() -> None:
    """While a StatefulSet is replaced, its pods tell how many collectors there are."""
    where = context()
    there = as_observed(statefulset.build(where, where.spec.zones[0], 2))
    pods = [pod("speech-eu-1a-4", "eu-1a"), pod("speech-b-1", "b"), pod("speech-b-0", "b")]
    assert existing([there], pods, []) == {"eu-1a": 2, "b": 2}


def claim(zone: str, ordinal: int, phase: str = "Bound", **annotations: str) -> dict[str, Any]:
    """Give a collector's claim."""
    name = f"data-speech-{zone}-{ordinal}"
    marks = {f"usage-operator.io/{key}": value for key, value in annotations.items()}
    labels = {"usage-operator.io/zone": zone}
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": labels, "annotations": marks},
        "spec": {},
        "status": {"phase": phase},
    }


def test_a_volume_counts_whatever_became_of_its_statefulset() -> None:
    """A bound claim is a collector, unless it was discarded, or is being deleted."""
    going = claim("e", 0)
    going["metadata"]["deletionTimestamp"] = "2026-11-05T12:00:00Z"
    found = [claim("b", 0), claim("b", 1), claim("c", 0, discarded="true"), claim("d", 0, "Lost")]
    assert existing([], [], [*found, going]) == {"b": 2, "d": 1}


def test_a_collector_that_never_had_a_volume_just_goes() -> None:
    """A misspelt zone can be corrected without a word; a claim with a volume to come cannot."""
    restored = claim("c", 0, "Pending")
    restored["spec"]["volumeName"] = "pv-7"
    claims = [claim("typo", 0, "Pending"), claim("b", 0), restored]
    assert existing([], [], claims) == {"b": 1, "c": 1}
    assert empty(claims) == {"typo/0"}
    running = {"a": 1, "typo": 1, "b": 1, "c": 1}
    fleet = muster({"a": 1}, running, {}, empty(claims))
    assert fleet.running == {"a": 1, "b": 1, "c": 1}
    assert fleet.idle_discards == ()
