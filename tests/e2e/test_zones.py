"""A zone leaves and comes back: nothing that it holds is lost, and nobody has to help."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.e2e.load import transcribers
from tests.e2e.system import ZONES, System
from tests.kind_helper.run import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

LEAVING = ZONES[-1]


def row(system: System) -> dict[str, Any]:
    """The leaving zone's row of the status; empty when there is none."""
    zones = system.get("uc", system.name)["status"]["zones"]
    return next((zone for zone in zones if zone["name"] == LEAVING), {})


def served(system: System) -> set[str]:
    """The pods that the ingest Service leads to."""
    label = f"--selector=kubernetes.io/service-name={system.name}"
    return {
        endpoint["targetRef"]["name"]
        for one in system.get("endpointslices", label)["items"]
        for endpoint in one.get("endpoints") or []
        if endpoint["conditions"].get("ready")
    }


def test_a_zone_is_emptied_goes_and_comes_back(system: System) -> None:
    """Out of ingest, kept until the month is exported, gone with its claim there, and back."""
    system.apply(system.resource())
    system.wait_ready()
    pod, claim = f"{system.name}-{LEAVING}-0", f"data-{system.name}-{LEAVING}-0"
    stays = [{"name": zone} for zone in ZONES if zone != LEAVING]
    with transcribers(system) as told:
        uid = system.get("pvc", claim)["metadata"]["uid"]
        system.apply(system.resource({"zones": stays}))
        until(lambda: pod not in served(system), "it is out of ingest", seconds=20)
        system.kubectl("scale", "statefulset", f"{system.name}-{LEAVING}", "--replicas=0")
        until(
            lambda: system.get("statefulset", f"{system.name}-{LEAVING}")["spec"]["replicas"] == 1,
            "it is scaled back",
            seconds=10,
        )
        said = "not exported yet"
        until(lambda: said in row(system).get("waitsFor", ""), "it says why it stays", seconds=250)
    assert told["lost"] == 0
    summary = system.export("--period", f"{datetime.now(UTC):%Y-%m}")
    assert summary["result"] == "exported"
    assert summary["events"] >= told["events"]
    until(lambda: not row(system), "it is gone", seconds=90)
    marks = system.get("pvc", claim)["metadata"]["annotations"]
    assert marks["usage-operator.io/discarded"] == "emptied"
    listed = system.get("configmap", f"{system.name}-peers")["data"]
    assert pod not in listed["peers"]
    assert listed["retired"] == f"{pod}\n"
    before = system.get("uc", system.name)["metadata"]["generation"]
    system.apply(system.resource())
    assert system.get("uc", system.name)["metadata"]["generation"] > before
    system.wait_ready()
    assert system.get("pvc", claim)["metadata"]["uid"] == uid
    assert "usage_head_position" in system.metrics(pod)
    until(lambda: pod in served(system), "events are led to it", seconds=20)
    listed = system.get("configmap", f"{system.name}-peers")["data"]
    assert pod in listed["peers"]
    assert not listed["retired"], json.dumps(listed)
