"""Claims that exist, and what the spec asks for by now."""

from __future__ import annotations

from typing import Any

import pytest

from tests.operator.support import NOW, as_observed, context
from usage_operator.kube.essence import essence
from usage_operator.manifests import claims
from usage_operator.plan import Verb, muster, ref
from usage_operator.reconcile import plan, volumes
from usage_operator.reconcile.observe import Observed
from usage_operator.reconcile.references import References

FIELD = "spec.storage.storageClassName"


def claim(name: str, component: str, zone: str = "", **spec: Any) -> dict[str, Any]:
    """Give a claim as the API would."""
    labels = {
        "app.kubernetes.io/name": "usage-collector",
        "app.kubernetes.io/instance": "speech",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "usage-operator",
    } | ({"usage-operator.io/zone": zone} if zone else {})
    size = {"resources": {"requests": {"storage": "2Gi"}}}
    made = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "metering", "labels": labels},
        "spec": {"accessModes": ["ReadWriteOnce"], **size, **spec},
    }
    return as_observed(made, phase="Bound")


def told(desired: dict[str, Any], there: dict[str, Any]) -> tuple[str | None, str]:
    """Give class and size of what a claim is brought to."""
    (kept,) = volumes.kept([desired], {ref(there): there})
    spec = kept["spec"]
    return spec.get("storageClassName"), spec["resources"]["requests"]["storage"]


def given(found: dict[str, Any]) -> dict[str, Any]:
    """Give the claim as it is when we gave it its class."""
    fields: dict[str, Any] = {"f:spec": {"f:storageClassName": {}, "f:resources": {}}}
    entry = {"manager": "usage-operator", "operation": "Apply", "fieldsV1": fields}
    return found | {"metadata": found["metadata"] | {"managedFields": [entry]}}


@pytest.mark.parametrize(
    ("there", "wanted", "size", "expected"),
    [
        ("ssd", "fast", "1Gi", (None, "2Gi")),
        ("ssd", "ssd", "4Gi", (None, "4Gi")),
        ("ssd", None, "4Gi", (None, "4Gi")),
        (None, "fast", "2048Mi", ("fast", "2048Mi")),
        (None, None, "2Gi", (None, "2Gi")),
        ("", "fast", "2Gi", (None, "2Gi")),
    ],
)
def test_what_a_claim_can_be(
    there: str | None, wanted: str | None, size: str, expected: tuple[str | None, str]
) -> None:
    """It gets a class where it has none, keeps that of ours or of others, and never shrinks."""
    where = context(storage={"size": size, "storageClassName": wanted})
    made = claims.build(where, where.spec.zones[0], claims.Claim("eu-1a", 0, "2Gi"))
    found = claim("data-speech-eu-1a-0", "collector", "eu-1a", storageClassName=there)
    assert told(made, found) == expected
    if there is None:
        # One that has a volume is left as it is.
        found["spec"]["volumeName"] = "pv"
        assert told(made, found) == (None, expected[1])
    else:
        # What we gave is not left out, remembered or read: that would be to take it away.
        for one in (given(found), essence(given(found))):
            assert told(made, one) == (there, expected[1])


async def test_a_class_that_was_changed_is_not_written() -> None:
    """Volumes that exist are left as they are; what is new gets the new class."""
    backup = {"destination": {"volume": {"storageClassName": "fast"}}}
    destinations = [{"volume": {"storageClassName": "fast"}}]
    where = context(
        storage={"storageClassName": "fast"},
        backup=backup,
        export={"destinations": destinations},
    )
    there = [
        claim("data-speech-eu-1a-0", "collector", "eu-1a", storageClassName="ssd"),
        claim("speech-export", "export", storageClassName="ssd"),
        claim("speech-eu-1a-backup", "backup", "eu-1a", storageClassName="ssd"),
    ]
    there = [there[0], *map(given, there[1:])]
    seen = Observed({ref(one): one for one in there})
    fleet = muster(where.resource.wanted, {}, {})
    steps = (await plan(None, where, seen, fleet, References(), NOW)).steps
    written = {step.ref.name: step for step in steps if step.ref in seen.objects}
    assert len(written) == 3
    for step in written.values():
        assert step.verb is Verb.APPLY
        expected = None if step.ref == ref(there[0]) else "ssd"
        assert step.document["spec"].get("storageClassName") == expected
    (made,) = (step.document for step in steps if step.ref.kind == "StatefulSet")
    assert made["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"] == "fast"


async def test_a_class_that_is_gone_is_given_to_nobody() -> None:
    """A claim that has it is grown all the same; one that would get it waits."""
    where = context(
        storage={"size": "3Gi"}, backup={"destination": {"volume": {"storageClassName": "ssd"}}}
    )
    there = [
        given(claim("data-speech-eu-1a-0", "collector", "eu-1a", storageClassName="ssd")),
        claim("speech-eu-1a-backup", "backup", "eu-1a"),
    ]
    seen = Observed({ref(one): one for one in there})
    fleet = muster({"eu-1a": 1, "eu-1b": 1}, {}, {})
    steps = (await plan(None, where, seen, fleet, References(classes=("ssd",)), NOW)).steps
    written = [step.ref.name for step in steps if step.ref.kind == "PersistentVolumeClaim"]
    assert written == ["data-speech-eu-1a-0", "speech-export"]


def test_volumes_of_another_class_are_named() -> None:
    """By field, class and claim; not those that leave, nor where the spec asks for none."""
    fields: dict[str, Any] = {
        "zones": [{"name": "a", "replicas": 2}, {"name": "b", "storageClassName": "cold"}],
        "storage": {"storageClassName": "fast"},
        "backup": {"destination": {"volume": {"storageClassName": "cold"}}},
        "export": {"destinations": [{"volume": {"storageClassName": "cold"}}]},
    }
    there = [
        claim("data-speech-a-1", "collector", "a", storageClassName="ssd"),
        claim("data-speech-a-0", "collector", "a", storageClassName="ssd"),
        claim("data-speech-a-2", "collector", "a", storageClassName="ssd"),
        claim("data-speech-b-0", "collector", "b", storageClassName="ssd"),
        claim("data-speech-gone-0", "collector", "gone", storageClassName="ssd"),
        claim("speech-export", "export", storageClassName="ssd"),
        claim("speech-a-backup", "backup", "a", storageClassName="ssd"),
        claim("speech-b-backup", "backup", "b", storageClassName="cold"),
        claim("speech-gone-backup", "backup", "gone", storageClassName="ssd"),
    ]
    said = volumes.differing(context(**fields).spec, there)
    assert [one.partition(": ")[0] for one in said] == [
        f"{FIELD} asks for fast, but data-speech-a-0, data-speech-a-1 are of ssd",
        "spec.zones[1].storageClassName asks for cold, but data-speech-b-0 is of ssd",
        "storageClassName of the volume in spec.export.destinations asks for cold, "
        "but speech-export is of ssd",
        "spec.backup.destination.volume.storageClassName asks for cold, "
        "but speech-a-backup is of ssd",
    ]
    assert all("put that back" in one for one in said)
    assert not volumes.differing(context().spec, there)
    unset = [claim("data-speech-a-0", "collector", "a"), *there[4:5], there[7]]
    assert not volumes.differing(context(**fields).spec, unset)
    made = [claim("data-speech-a-0", "collector", "a", volumeName="pv")]
    (said_of_it,) = volumes.differing(context(**fields).spec, made)
    assert "data-speech-a-0 is of no class" in said_of_it
    own = context(export={"destinations": [{"volume": {"claimName": "mine"}}]})
    assert not volumes.differing(own.spec, there)
