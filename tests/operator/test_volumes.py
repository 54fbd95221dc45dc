"""Claims that exist, and what the spec asks for by now."""

from __future__ import annotations

from typing import Any

import pytest

from tests.operator.support import NOW, as_observed, context
from usage_operator.manifests import claims, export
from usage_operator.plan import Verb, muster, ref, stamped
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


@pytest.mark.parametrize(
    ("there", "wanted", "size", "expected"),
    [
        ("ssd", "fast", "1Gi", ("ssd", "2Gi")),
        ("ssd", None, "4Gi", ("ssd", "4Gi")),
        (None, "fast", "2048Mi", ("fast", "2048Mi")),
        (None, None, "2Gi", (None, "2Gi")),
        ("", "fast", "2Gi", ("", "2Gi")),
    ],
)
def test_what_a_claim_can_be(
    there: str | None, wanted: str | None, size: str, expected: tuple[str | None, str]
) -> None:
    """It keeps its class, gets one where it has none, and never shrinks."""
    where = context(storage={"size": size, "storageClassName": wanted})
    made = claims.build(where, where.spec.zones[0], claims.Claim("eu-1a", 0, "2Gi"))
    found = claim("data-speech-eu-1a-0", "collector", "eu-1a", storageClassName=there)
    assert told(made, found) == expected
    if there is None:
        # One that has a volume is left as it is.
        found["spec"]["volumeName"] = "pv"
        assert told(made, found) == (None, expected[1])


def test_a_class_of_the_clusters_is_left_to_it() -> None:
    """What is as it was made is not written again; whatever is written keeps the class."""
    where = context()
    made = export.claim(where)
    assert made
    found = as_observed(stamped(made), phase="Bound")
    found["spec"] = found["spec"] | {"storageClassName": "default"}
    assert told(made, found) == (None, "5Gi")
    where = context(export={"destinations": [{"volume": {"size": "6Gi"}}]})
    larger = export.claim(where)
    assert larger
    assert told(larger, found) == ("default", "6Gi")


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
    seen = Observed({ref(one): one for one in there})
    fleet = muster(where.resource.wanted, {}, {})
    steps = (await plan(None, where, seen, fleet, References(), NOW)).steps
    written = {step.ref.name: step for step in steps if step.ref in seen.objects}
    assert len(written) == 3
    for step in written.values():
        assert step.verb is Verb.APPLY
        assert step.document["spec"]["storageClassName"] == "ssd"
    (made,) = (step.document for step in steps if step.ref.kind == "StatefulSet")
    assert made["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"] == "fast"


async def test_a_class_that_is_gone_is_given_to_nobody() -> None:
    """A claim that has it is grown all the same; one that would get it waits."""
    where = context(
        storage={"size": "3Gi"}, backup={"destination": {"volume": {"storageClassName": "ssd"}}}
    )
    there = [
        claim("data-speech-eu-1a-0", "collector", "eu-1a", storageClassName="ssd"),
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
