"""A change reaches the collectors zone by zone, under load and whatever befalls the operator."""

import json
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from tests.e2e.load import transcribers
from tests.e2e.system import ZONES, System
from tests.kind_helper.run import repeating, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

MARK = "example.org/rollout"


@dataclass
class Observer:
    """Looks at the pods all the time: which zones have the mark, and which are not ready."""

    system: System
    mark: str
    seen: list[tuple[frozenset[str], frozenset[str]]] = field(default_factory=list)

    def look(self) -> tuple[frozenset[str], frozenset[str]]:
        """The zones whose pod has the mark, and those without a ready pod."""
        label = "--selector=app.kubernetes.io/component=collector"
        pods = self.system.get("pods", label)["items"]
        marked, ready = set(), set()
        for pod in pods:
            zone = pod["metadata"]["labels"]["usage-operator.io/zone"]
            conditions = pod["status"].get("conditions", [])
            if (pod["metadata"].get("annotations") or {}).get(MARK) == self.mark:
                marked.add(zone)
            if {"type": "Ready", "status": "True"}.items() <= next(
                (one.items() for one in conditions if one["type"] == "Ready"), {}.items()
            ) and not pod["metadata"].get("deletionTimestamp"):
                ready.add(zone)
        self.seen.append((frozenset(marked), frozenset(set(ZONES) - ready)))
        return self.seen[-1]

    def looking(self) -> AbstractContextManager[None]:
        """Look again and again while the context lasts."""
        return repeating(self.look, every=0.2)


def change(system: System, mark: str) -> None:
    """Apply the resource with another pod template."""
    system.apply(system.resource({"template": {"annotations": {MARK: mark}}}))


@pytest.fixture(scope="module")
def ready(system: System) -> System:
    """A collector in each zone."""
    system.apply(system.resource())
    system.wait_ready()
    return system


def test_one_zone_after_the_other_and_nothing_is_lost(ready: System) -> None:
    """Under load a template change takes one zone at a time, and Ready waits for the last."""
    observer = Observer(ready, "first")
    with transcribers(ready) as told:
        with observer.looking():
            change(ready, "first")
            ready.wait_ready(timeout=200)
        assert observer.look() == (frozenset(ZONES), frozenset())
    assert max(len(unready) for _, unready in observer.seen) == 1
    steps = [marked for marked, _ in observer.seen]
    assert [len(one) for one in dict.fromkeys(steps)] == [0, 1, 2, 3]
    assert told["lost"] == 0
    assert told["events"] > 0
    summary = ready.export("--period", f"{datetime.now(UTC):%Y-%m}")
    assert summary["result"] == "exported"
    assert summary["events"] >= told["events"]


def test_an_operator_killed_in_the_middle_goes_on(ready: System) -> None:
    """The next operator finishes what the killed one began, one zone at a time as well."""
    observer = Observer(ready, "second")
    with observer.looking():
        change(ready, "second")
        until(
            lambda: any(len(marked) == 1 for marked, _ in observer.seen),
            "one zone has it",
            seconds=60,
        )
        ready.kubectl(
            *("delete", "pod", "--selector=app.kubernetes.io/name=usage-operator"),
            *("--grace-period=0", "--force", "--wait=false"),
        )
        ready.wait_ready(timeout=200)
    assert observer.look() == (frozenset(ZONES), frozenset())
    assert max(len(unready) for _, unready in observer.seen) == 1


def test_a_service_that_leads_nowhere_is_mended(ready: System) -> None:
    """A selector that was made to select nothing is as it was, and transcribers get through."""
    patch = {"spec": {"selector": {"nobody": "has-this"}}}
    ready.kubectl("patch", "service", ready.name, "--patch", json.dumps(patch))
    until(
        lambda: "nobody" not in ready.get("service", ready.name)["spec"]["selector"],
        "the selector is back",
        seconds=5,
    )
    ready.wait_ready()
    assert ready.simulate("--jobs=20", "--sessions=0")["lost"] == 0
