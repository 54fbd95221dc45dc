"""What the volume controller decides for claims and volumes."""

from pathlib import Path

import pytest

from tests.kind_helper.volumes import classes, plan


def claim(**changes: object) -> plan.Object:
    """A claim that waits for its volume on a node, with changes to its spec."""
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": classes.GROWING,
        "volumeMode": "Filesystem",
    }
    annotations = {"volume.kubernetes.io/selected-node": "usage-eu-1a"}
    metadata = {"name": "data", "namespace": "n", "uid": "u-1", "annotations": annotations}
    return {"metadata": metadata, "spec": {**spec, **changes}, "status": {"phase": "Pending"}}


@pytest.mark.parametrize(
    ("request_", "size"),
    [("1Gi", 2**30), ("1Mi", plan.MINIMUM), ("1G", 1_000_001_536), ("400M", 400_003_072)],
)
def test_sizes_are_whole_blocks_and_large_enough(request_: str, size: int) -> None:
    """Requests are rounded up to blocks, and to the least that XFS takes."""
    assert plan.size(request_) == size


def test_a_claim_waits_until_a_node_is_chosen() -> None:
    """A volume is made on the node that the scheduler chose, not before."""
    assert plan.wants_volume(claim()) == "usage-eu-1a"
    unscheduled = claim()
    del unscheduled["metadata"]["annotations"]
    assert plan.wants_volume(unscheduled) is None


@pytest.mark.parametrize(
    "changes",
    [{"storageClassName": "fast"}, {"volumeName": "pvc-u-1"}, {"volumeMode": "Block"}],
)
def test_claims_that_are_not_ours_are_left_alone(changes: dict[str, object]) -> None:
    """Other classes, bound claims and raw devices are nobody's business here."""
    assert plan.wants_volume(claim(**changes)) is None


def test_a_volume_belongs_to_its_claim_and_node() -> None:
    """The volume names claim, node, folder and size, and is known as ours."""
    volume = plan.persistent_volume(claim(), "usage-eu-1a", Path("/v/pvc-u-1"))
    assert volume["spec"]["claimRef"]["uid"] == "u-1"
    assert volume["spec"]["capacity"] == {"storage": "1024Mi"}
    assert volume["spec"]["local"] == {"path": "/v/pvc-u-1"}
    assert "usage-eu-1a" in str(volume["spec"]["nodeAffinity"])
    assert plan.ours(volume)


def test_growth_is_what_the_claim_asks_beyond_what_it_has() -> None:
    """A bound claim that asks for more grows; one that has enough does not."""
    bound = claim(volumeName="pvc-u-1")
    bound["status"] = {"phase": "Bound", "capacity": {"storage": "512Mi"}}
    assert plan.grows_to(bound) == 2**30
    bound["status"]["capacity"]["storage"] = "1Gi"
    assert plan.grows_to(bound) is None
    foreign = claim(volumeName="other")
    foreign["status"] = {"phase": "Bound", "capacity": {"storage": "1Mi"}}
    assert plan.grows_to(foreign) is None


@pytest.mark.parametrize(
    ("phase", "policy", "gone"),
    [("Released", "Delete", True), ("Bound", "Delete", False), ("Released", "Retain", False)],
)
def test_data_go_with_the_claim_unless_retained(phase: str, policy: str, gone: bool) -> None:
    """Only released volumes of ours whose policy says so are deleted."""
    volume = plan.persistent_volume(claim(), "usage-eu-1a", Path("/v"))
    volume["spec"]["persistentVolumeReclaimPolicy"] = policy
    volume["status"] = {"phase": phase}
    assert plan.to_delete(volume) is gone
    volume["metadata"]["annotations"] = {}
    assert plan.to_delete(volume) is False


def test_one_class_is_the_default_and_grows_the_other_does_not() -> None:
    """Tests need volumes that grow, and a class that refuses to."""
    growing, fixed = classes.storage_classes()
    assert growing["allowVolumeExpansion"]
    assert not fixed["allowVolumeExpansion"]
    assert "true" in growing["metadata"]["annotations"].values()
    assert fixed["metadata"]["annotations"] == {}
