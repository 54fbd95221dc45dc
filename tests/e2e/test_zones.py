"""Collectors leave and come back: nothing that they hold is lost, and nobody has to help."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.e2e.load import LONGEST, position, transcribers
from tests.e2e.system import PATIENCE, ZONES, System, is_ready
from tests.kind_helper.run import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2 * LONGEST)]

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


def scaled(system: System, zone: str, replicas: int) -> bool:
    """Whether a zone is to have so many collectors, and has them: none that is about to end."""
    found = system.get("statefulset", f"{system.name}-{zone}")
    seen = found["status"].get("observedGeneration") == found["metadata"]["generation"]
    label = f"--selector=app.kubernetes.io/component=collector,usage-operator.io/zone={zone}"
    pods = system.get("pods", label)["items"]
    return (
        seen
        and found["spec"]["replicas"] == replicas
        and [is_ready(one) for one in pods] == [True] * replicas
    )


def peers(system: System) -> dict[str, set[str]]:
    """The collectors that each is told of, those that hold nothing more apart."""
    listed = system.get("configmap", f"{system.name}-peers")["data"]
    return {
        "peers": set(re.findall(r"//([^.]+)\.", listed["peers"])),
        "retired": set(listed["retired"].split()),
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
        until(
            lambda: all(position(system, pod) for pod in pods),
            "both have events",
            seconds=PATIENCE,
        )
        uids = {pod: system.get("pvc", f"data-{pod}")["metadata"]["uid"] for pod in pods}
        system.apply(system.resource(zones(*ZONES[:-1], grown=1)))
        until(lambda: not pods & served(system), "they are out of ingest", seconds=PATIENCE)
        system.kubectl("scale", "statefulset", f"{system.name}-{LEAVING}", "--replicas=0")
        until(lambda: scaled(system, LEAVING, 1), "it is scaled back", seconds=PATIENCE)
        until(
            lambda: (
                [one.get("waitsFor", "").count("not exported yet") for one in rows(system).values()]
                == [1, 1]
            ),
            "both say why they stay",
            seconds=PATIENCE,
        )
        # The one that was scaled to nothing by hand may have been made anew.
        still = running(system)
        assert still == before | {left: still[left]}
    heads = {pod: position(system, pod) for pod in pods}
    assert told["lost"] == 0
    summary = system.export("--period", f"{datetime.now(UTC):%Y-%m}")
    assert summary["result"] == "exported"
    assert summary["events"] >= told["events"]
    until(lambda: not rows(system), "they are gone", seconds=PATIENCE)
    until(lambda: not pods & running(system).keys(), "their pods end", seconds=PATIENCE)
    assert all(running(system)[pod] == uid for pod, uid in before.items() if pod not in pods)
    for pod in pods:
        marks = system.get("pvc", f"data-{pod}")["metadata"]["annotations"]
        assert marks["usage-operator.io/discarded"] == "emptied"
    stay = before.keys() - pods
    gone = {"peers": stay, "retired": pods}
    until(lambda: peers(system) == gone, "the others know", seconds=PATIENCE)
    generation = system.get("uc", system.name)["metadata"]["generation"]
    system.apply(system.resource(zones(*ZONES, grown=2)))
    assert system.get("uc", system.name)["metadata"]["generation"] > generation
    system.wait_ready()
    for pod in pods:
        assert system.get("pvc", f"data-{pod}")["metadata"]["uid"] == uids[pod]
        assert position(system, pod) >= heads[pod]
    until(lambda: pods <= served(system), "events are led to them", seconds=PATIENCE)
    there = {"peers": before.keys(), "retired": set()}
    until(lambda: peers(system) == there, "all know each other again", seconds=PATIENCE)
