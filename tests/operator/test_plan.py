"""From desired and observed objects to steps."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.operator.support import NOW, as_observed, context, settled
from usage_operator import manifests
from usage_operator.manifests import secrets
from usage_operator.plan import Plan, Ref, Verb, diff, drift, ref
from usage_operator.plan.objects import stamped

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


WHERE = context(zones=[{"name": "eu-1a"}, {"name": "eu-1b"}])
SECRETS = {
    one["metadata"]["name"]: secrets.decode(one)
    for one in manifests.build(WHERE, manifests.Known(WHERE.resource.wanted), NOW)
    if one["kind"] == "Secret"
}
"""Key material of two zones, which is good for one too."""


def desired(**fields: Any) -> list[dict[str, Any]]:
    """Build everything for a spec."""
    where = context(**fields)
    return manifests.build(where, manifests.Known(where.resource.wanted, SECRETS), NOW)


def observed(made: list[dict[str, Any]], **status: Any) -> dict[Ref, dict[str, Any]]:
    """Give the objects as they stand once all is applied and rolled out."""
    found = {}
    for one in made:
        rolled = settled(one["spec"]["replicas"]) if one["kind"] == "StatefulSet" else {}
        found[ref(one)] = as_observed(copy.deepcopy(stamped(one)), **(rolled | status))
    return found


def plan(made: list[dict[str, Any]], there: dict[Ref, dict[str, Any]], **options: Any) -> Plan:
    """Compare for the resource of the tests."""
    return diff(made, there, name="speech", uid="uid-1", **options)


def words(found: Plan) -> list[str]:
    """Give the steps as text."""
    return [str(step) for step in found.steps]


def test_everything_missing_is_created() -> None:
    """On an empty cluster every object is a step, in the order in which it is needed."""
    made = desired()
    found = plan(made, {})
    assert [step.verb for step in found.steps] == [Verb.CREATE] * len(made)
    kinds = [step.ref.kind for step in found.steps]
    assert kinds.index("Secret") < kinds.index("StatefulSet")


def test_nothing_changed_is_no_step() -> None:
    """What stands as it should is left alone."""
    made = desired()
    found = plan(made, observed(made))
    assert not found.steps
    assert not found.prunes
    assert not found.waiting


@pytest.mark.parametrize(
    ("kind", "path", "value", "where"),
    [
        ("PodDisruptionBudget", ["spec", "maxUnavailable"], 2, "spec.maxUnavailable"),
        ("ConfigMap", ["data", "peers"], "", "data.peers"),
        ("Service", ["spec", "ports"], [], "spec.ports[ingest]"),
        ("StatefulSet", ["spec", "replicas"], 7, "spec.replicas"),
        ("CronJob", ["metadata", "labels"], {}, "taken"),
    ],
)
def test_a_changed_field_is_put_back(kind: str, path: list[str], value: Any, where: str) -> None:
    """The reason names the field that somebody else changed; without our labels it is not ours."""
    made = desired()
    there = observed(made)
    key = next(one for one in there if one.kind == kind and one.name != "speech-ca")
    part = there[key]
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    found = plan(made, there)
    if where == "taken":
        assert found.taken == [key]
        assert not found.steps
        return
    assert words(found) == [f"apply {key}: {where} was changed by somebody else"]


def test_fields_that_are_not_ours_are_left_alone() -> None:
    """Defaults, status and what others added are no drift."""
    made = desired()
    there = observed(made)
    for one in there.values():
        one["metadata"]["annotations"]["other"] = "x"
        one["metadata"]["labels"]["other"] = "x"
        one.setdefault("spec", {})["added"] = {"by": "default"}
    assert not plan(made, there).steps


def test_another_spelling_of_a_quantity_is_no_drift() -> None:
    """The API server writes 1000m as 1."""
    fields = {"template": {"resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}}}}
    made = desired(**fields)
    there = observed(made)
    statefulset = there[Ref("StatefulSet", "speech-eu-1a")]
    container = statefulset["spec"]["template"]["spec"]["containers"][0]
    container["resources"] = {"requests": {"cpu": "1", "memory": "1Gi"}}
    assert not plan(made, there).steps


def test_secrets_are_written_only_over_what_was_read() -> None:
    """An apply of a Secret carries its version, and its reason shows no value."""
    made = desired()
    there = observed(made)
    key = Ref("Secret", "speech-tokens")
    there[key]["data"] = {**there[key]["data"], "admin": "b3RoZXI="}
    (step,) = plan(made, there).steps
    assert step.document["metadata"]["resourceVersion"] == "7"
    assert step.reason == "data.admin was changed by somebody else"


def test_names_of_others_are_never_overwritten() -> None:
    """An object without our labels, or of another owner, is reported and left."""
    made = desired()
    there = observed(made)
    there[Ref("Service", "speech")]["metadata"]["labels"] = {"app": "other"}
    stranger = {"kind": "ReplicaSet", "name": "x", "uid": "other", "controller": True}
    there[Ref("ConfigMap", "speech-ca")]["metadata"]["ownerReferences"] = [stranger]
    found = plan(made, there)
    assert set(found.taken) == {Ref("Service", "speech"), Ref("ConfigMap", "speech-ca")}
    assert not found.steps


def test_what_is_being_deleted_is_waited_for() -> None:
    """Nothing is applied to an object that is going, or that an earlier resource left."""
    made = desired()
    there = observed(made)
    key, other = Ref("Service", "speech"), Ref("ConfigMap", "speech-peers")
    there[key]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    there[key]["spec"] = {}
    there[other]["metadata"]["ownerReferences"][0]["uid"] = "earlier"
    found = plan(made, there)
    assert set(found.waiting) == {key, other}
    assert not found.steps


def test_only_what_was_seen_is_changed() -> None:
    """A name that another's object took meanwhile is refused by the API server, not overwritten."""
    made = desired()
    there = observed(made)
    for key in (Ref("Service", "speech"), Ref("Secret", "speech-tokens")):
        there[key]["metadata"] |= {"annotations": {}, "uid": "of-old"}
    steps = {step.ref.kind: step.document["metadata"] for step in plan(made, there).steps}
    assert steps["Service"]["uid"] == "of-old"
    assert steps["Secret"]["resourceVersion"] == "7"


def test_orphans_are_adopted() -> None:
    """What a deletion without cascade left gets its owner back."""
    made = desired()
    there = observed(made)
    del there[Ref("Service", "speech")]["metadata"]["ownerReferences"]
    reason = "metadata.ownerReferences[speech] was changed by somebody else"
    assert words(plan(made, there)) == [f"apply Service speech: {reason}"]


def test_what_is_not_wanted_any_more_is_pruned() -> None:
    """Services and StatefulSets go; claims, Secrets and what is kept stay."""
    both = desired(zones=[{"name": "eu-1a"}, {"name": "eu-1b"}])
    there = observed(both)
    for kind, name in (("PersistentVolumeClaim", "data-speech-eu-1b-0"), ("Secret", "speech-x")):
        extra = {"kind": kind, "metadata": {"name": name, "labels": both[0]["metadata"]["labels"]}}
        there[Ref(kind, name)] = as_observed(extra)
    single = desired()
    gone = {step.ref for step in plan(single, there).prunes}
    assert gone == {Ref("StatefulSet", "speech-eu-1b"), Ref("Service", "speech-eu-1b")}
    kept = plan(single, there, kept=gone)
    assert not kept.prunes


def test_a_grown_volume_replaces_the_statefulset_but_not_its_pods() -> None:
    """The claim template cannot be changed in place."""
    there = observed(desired())
    grown = desired(storage={"size": "2Gi"})
    (step,) = plan(grown, there).steps
    assert (step.verb, step.ref) == (Verb.ORPHAN, Ref("StatefulSet", "speech-eu-1a"))
    held = plan(grown, there, fixed={step.ref})
    assert not held.steps
    assert step.ref in held.waiting


@given(JSON)
def test_a_document_does_not_drift_from_itself(document: Any) -> None:
    """Whatever is observed as it is desired is no drift."""
    assert drift.find(document, copy.deepcopy(document)) is None


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1), min_size=1), st.data())
def test_every_change_of_a_desired_value_is_drift(
    document: dict[str, int], choice: st.DataObject
) -> None:
    """One changed value is found, and named."""
    key = choice.draw(st.sampled_from(sorted(document)))
    assert drift.find(document, {**document, key: document[key] + 1}) == key
    assert drift.find(document, {name: v for name, v in document.items() if name != key}) == key


def test_a_selector_with_one_key_more_is_drift() -> None:
    """It would select nothing: selectors are taken as a whole, labels are not."""
    service = {"spec": {"selector": {"a": "b"}}, "metadata": {"labels": {"a": "b"}}}
    there = copy.deepcopy(service)
    there["metadata"]["labels"]["theirs"] = "stays"
    assert drift.find(service, there) is None
    there["spec"]["selector"]["c"] = "d"
    assert drift.find(service, there) == "spec.selector"
