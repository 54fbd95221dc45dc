"""A node that is drained for its upgrade, on a real cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.kind_helper.errors import CommandFailed
from tests.operator.live import PATIENCE, ZONES

if TYPE_CHECKING:
    from tests.operator.live import Place

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def evict(place: Place, pod: str) -> str:
    """Ask for a pod's eviction, as drains do; give the refusal."""
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": place.namespace},
    }
    where = f"/api/v1/namespaces/{place.namespace}/pods/{pod}/eviction"
    try:
        place.kubectl("create", "--raw", where, "-f", "-", stdin=json.dumps(eviction))
    except CommandFailed as error:
        return error.output
    raise AssertionError(f"{pod} was evicted")


def test_a_node_is_drained_and_no_second_one(place: Place) -> None:
    """A zone's collectors leave it, though all are on one node; the others must not go then."""
    first, second = (zone["name"] for zone in ZONES)
    place.apply(zones=[{"name": first, "replicas": 2}, {"name": second}])
    place.ready()
    pods, node = place.pods(), place.cluster.zones[first]
    other = f"{place.name}-{second}-0"
    try:
        place.kubectl(
            *("drain", node, f"--pod-selector=app.kubernetes.io/instance={place.name}"),
            *("--delete-emptydir-data", "--ignore-daemonsets", f"--timeout={PATIENCE}s"),
            timeout=PATIENCE + 60,
        )
        assert not set(place.pods().values()) & {uid for name, uid in pods.items() if name != other}
        assert "disruption budget" in evict(place, other)
        assert place.pods()[other] == pods[other]
        place.until("it is told", lambda: place.conditions()["Ready"][0] == "False")
    finally:
        place.kubectl("uncordon", node)
    place.ready()
    assert place.pods().keys() == pods.keys()
