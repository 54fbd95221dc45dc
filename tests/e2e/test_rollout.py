"""A change reaches the collectors zone by zone, under load and whatever befalls the operator."""

import json
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from tests.e2e.load import LONGEST, transcribers
from tests.e2e.system import PATIENCE, ZONES, System, is_ready
from tests.kind_helper.run import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2 * LONGEST)]

MARK = "example.org/rollout"


COLLECTORS = "--selector=app.kubernetes.io/component=collector"
FIELDS = (
    r"{.metadata.labels.usage-operator\.io/zone},{.metadata.annotations.example\.org/rollout},"
    r"{.metadata.deletionTimestamp},{.status.conditions[?(@.type=='Ready')].status}{'\n'}"
)


@dataclass
class Observer:
    """Is told of each change of the pods: which zones have the mark, and which are not ready."""

    system: System
    mark: str
    zones: dict[str, tuple[bool, bool]] = field(default_factory=dict)
    seen: list[tuple[frozenset[str], frozenset[str]]] = field(default_factory=list)

    def take(self, lines: Iterable[str]) -> None:
        """Take note of one pod after the other, each as it was then."""
        for line in lines:
            zone, mark, deleted, status = line.rstrip("\n").split(",")
            self.zones[zone] = (mark == self.mark, status == "True" and not deleted)
            if len(self.zones) == len(ZONES):
                marked = frozenset(one for one, (has, _) in self.zones.items() if has)
                unready = frozenset(one for one, (_, well) in self.zones.items() if not well)
                self.seen.append((marked, unready))

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Follow the pods while the context lasts, from how they are at its beginning."""
        command = self.system.cluster.command(
            *("--namespace", self.system.namespace, "get", "pods", COLLECTORS),
            *("--watch", f"--output=jsonpath={FIELDS}"),
        )
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            thread = threading.Thread(target=self.take, args=(process.stdout,))
            thread.start()
            try:
                until(lambda: bool(self.seen), "the pods are followed", seconds=PATIENCE)
                yield
                whole = (frozenset(ZONES), frozenset[str]())
                until(lambda: self.seen[-1] == whole, "that is told", seconds=PATIENCE)
            finally:
                process.terminate()
                thread.join()


def change(system: System, mark: str) -> None:
    """Apply the resource with another pod template."""
    system.apply(system.resource({"template": {"annotations": {MARK: mark}}}))


def everywhere(system: System, mark: str) -> bool:
    """Whether all pods have the mark and are ready."""
    pods = system.get("pods", COLLECTORS)["items"]
    marks = [(one["metadata"].get("annotations") or {}).get(MARK) for one in pods if is_ready(one)]
    return marks == [mark] * len(ZONES)


@pytest.fixture(scope="module")
def ready(system: System) -> System:
    """A collector in each zone."""
    system.apply(system.resource())
    system.wait_ready()
    return system


def test_one_zone_after_the_other_and_nothing_is_lost(ready: System) -> None:
    """Under load a template change takes one zone at a time, and Ready waits for the last."""
    observer = Observer(ready, "first")
    with transcribers(ready) as told, observer.looking():
        change(ready, "first")
        ready.wait_ready()
        assert everywhere(ready, "first")
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
            seconds=PATIENCE,
        )
        ready.kubectl(
            *("delete", "pod", "--selector=app.kubernetes.io/name=usage-operator"),
            *("--grace-period=0", "--force", "--wait=false"),
        )
        ready.wait_ready()
        assert everywhere(ready, "second")
    assert max(len(unready) for _, unready in observer.seen) == 1


def test_a_service_that_leads_nowhere_is_mended(ready: System) -> None:
    """A selector that was made to select nothing is as it was, and transcribers get through."""
    patch = {"spec": {"selector": {"nobody": "has-this"}}}
    ready.kubectl("patch", "service", ready.name, "--patch", json.dumps(patch))
    until(
        lambda: "nobody" not in ready.get("service", ready.name)["spec"]["selector"],
        "the selector is back",
        seconds=40,
    )
    ready.wait_ready()
    assert ready.simulate("--jobs=20", "--sessions=0")["lost"] == 0
