"""Collectors leave and come back: nothing that they hold is lost, and nobody has to help."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.e2e.load import hold, position, transcribers
from tests.e2e.system import ZONES, System
from tests.kind_helper.run import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

GROWN, LEAVING = ZONES[0], ZONES[-1]


def rows(system: System) -> dict[str, dict[str, Any]]:
    """The status' rows of the zones that something leaves."""
    zones = system.get("uc", system.name)["status"]["zones"]
    return {zone["name"]: zone for zone in zones if zone.get("leaving")}


def served(system: System) -> set[str]:
    """The pods that the ingest Service leads to."""
    label = f"--selector=kubernetes.io/service-name={system.name}"
    return {
        endpoint["targetRef"]["name"]
        for one in system.get("endpointslices", label)["items"]
        for endpoint in one.get("endpoints") or []
        if endpoint["conditions"].get("ready")
    }


def running(system: System) -> dict[str, str]:
    """The uid of each collector's pod."""
    found = system.get("pods", "--selector=app.kubernetes.io/component=collector")["items"]
    return {one["metadata"]["name"]: one["metadata"]["uid"] for one in found}


def zones(*names: str, grown: int) -> dict[str, Any]:
    """These zones, of which one has so many replicas."""
    return {"zones": [{"name": one, "replicas": grown if one == GROWN else 1} for one in names]}


def test_collectors_are_emptied_go_and_come_back(system: System) -> None:
    """Of a zone and of a replica: out of ingest, kept until the month is exported, gone with their
    claims there, and back.
    """
    system.apply(system.resource(zones(*ZONES, grown=2)))
    system.wait_ready()
    left = f"{system.name}-{LEAVING}-0"
    pods, before = {f"{system.name}-{GROWN}-1", left}, running(system)
    with transcribers(system) as told:
        until(lambda: hold(system, pods), "both have events", seconds=60)
        uids = {pod: system.get("pvc", f"data-{pod}")["metadata"]["uid"] for pod in pods}
        system.apply(system.resource(zones(*ZONES[:-1], grown=1)))
        until(lambda: not pods & served(system), "they are out of ingest", seconds=20)
        system.kubectl("scale", "statefulset", f"{system.name}-{LEAVING}", "--replicas=0")
        until(
            lambda: system.get("statefulset", f"{system.name}-{LEAVING}")["spec"]["replicas"] == 1,
            "it is scaled back",
            seconds=10,
        )
        until(
            lambda: (
                [one.get("waitsFor", "").count("not exported yet") for one in rows(system).values()]
                == [1, 1]
            ),
            "both say why they stay",
            seconds=250,
        )
        # The one that was scaled to nothing by hand may have been made anew.
        still = running(system)
        assert still == before | {left: still[left]}
    heads = {pod: position(system, pod) for pod in pods}
    assert told["lost"] == 0
    summary = system.export("--period", f"{datetime.now(UTC):%Y-%m}")
    assert summary["result"] == "exported"
    assert summary["events"] >= told["events"]
    until(lambda: not rows(system), "they are gone", seconds=90)
    until(lambda: not pods & running(system).keys(), "their pods end", seconds=60)
    assert all(running(system)[pod] == uid for pod, uid in before.items() if pod not in pods)
    for pod in pods:
        marks = system.get("pvc", f"data-{pod}")["metadata"]["annotations"]
        assert marks["usage-operator.io/discarded"] == "emptied"
    listed = system.get("configmap", f"{system.name}-peers")["data"]
    assert not [pod for pod in pods if pod in listed["peers"]]
    assert set(listed["retired"].split()) == pods
    generation = system.get("uc", system.name)["metadata"]["generation"]
    system.apply(system.resource(zones(*ZONES, grown=2)))
    assert system.get("uc", system.name)["metadata"]["generation"] > generation
    system.wait_ready()
    for pod in pods:
        assert system.get("pvc", f"data-{pod}")["metadata"]["uid"] == uids[pod]
        assert position(system, pod) >= heads[pod]
    until(lambda: pods <= served(system), "events are led to them", seconds=20)
    listed = system.get("configmap", f"{system.name}-peers")["data"]
    assert all(pod in listed["peers"] for pod in pods)
    assert not listed["retired"], json.dumps(listed)
