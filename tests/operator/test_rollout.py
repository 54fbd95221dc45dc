"""The order in which zones take a new pod template."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.operator.support import as_observed, pod, settled
from usage_operator.plan import rollout
from usage_operator.plan.objects import stamped


def statefulset(name: str, image: str) -> dict[str, Any]:
    """Give a zone's StatefulSet as it is desired."""
    template = {"spec": {"containers": [{"name": "c", "image": image}]}}
    return stamped(
        {
            "kind": "StatefulSet",
            "metadata": {"name": name},
            "spec": {"replicas": 1, "template": template},
        }
    )


def zones(*states: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Give zones: new (at the new template), old, busy (rolling to the new), down, stuck.

    ``down`` has the old template and no ready pod; ``stuck`` is rolling to an old template.
    """
    pairs = []
    for index, state in enumerate(states):
        name = f"z{index}"
        image = "new" if state in {"new", "busy"} else "old"
        status = settled()
        if state in {"busy", "stuck"}:
            status |= {"updateRevision": "r2", "readyReplicas": 0}
        if state == "down":
            status |= {"readyReplicas": 0}
        there = as_observed(copy.deepcopy(statefulset(name, image)), **status)
        pairs.append((statefulset(name, "new"), there))
    return pairs


def test_the_first_zone_goes_alone() -> None:
    """Of zones that are all ready, one takes the new template."""
    assert set(rollout.held(zones("old", "old", "old"))) == {"z1", "z2"}


def test_the_next_waits_for_the_last() -> None:
    """While a zone is rolling out, the others wait for it by name."""
    assert rollout.held(zones("busy", "old")) == {"z1": "waits for z0 to be ready"}
    assert rollout.held(zones("new", "old", "old")) == {"z2": "waits for z1 to be ready"}


def test_an_unready_zone_goes_first() -> None:
    """A zone that does not serve anyway is changed before those that do."""
    assert set(rollout.held(zones("old", "down", "old"))) == {"z0", "z2"}


def test_a_correction_reaches_a_stuck_zone() -> None:
    """A zone in a rollout that went wrong takes the corrected template at once."""
    assert set(rollout.held(zones("old", "stuck"))) == {"z0"}


def test_a_zone_that_is_down_for_another_reason_holds_nobody_up() -> None:
    """A zone at the new template whose node is lost is not waited for."""
    pairs = zones("new", "old")
    pairs[0][1]["status"]["readyReplicas"] = 0
    assert not rollout.held(pairs)


def test_the_next_waits_until_the_last_has_been_ready_for_a_while() -> None:
    """Ready is not enough: StatefulSets count replicas as available after minReadySeconds."""
    pairs = zones("new", "old")
    pairs[0][1]["status"]["availableReplicas"] = 0
    assert rollout.held(pairs) == {"z1": "waits for z0 to be ready"}


def crashed(name: str, **state: Any) -> dict[str, Any]:
    """Give a collector's pod whose container is in this state."""
    return pod(name, "z0", ready=False, containerStatuses=[{"ready": False, **state}])


def test_a_new_template_that_fails_later_stops_the_rollout() -> None:
    """A zone that crashes after it was ready holds the others; a lost node does not."""
    ended = {"terminated": {"exitCode": 1}}
    backing = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended}
    for state in ({"state": ended}, backing):
        assert rollout.failing([crashed("z0-0", **state)]) == {"z0"}
    lost = crashed("z0-0", state={"running": {}})
    assert not rollout.failing([lost, pod("z1-0", "z1"), crashed("z2-0", state={"waiting": {}})])
    pairs = zones("new", "old")
    pairs[0][1]["status"] |= {"readyReplicas": 0, "availableReplicas": 0}
    assert not rollout.held(pairs)
    assert rollout.held(pairs, {"z0"}) == {"z1": "waits for z0 to be ready"}


def test_a_closed_window_spares_what_serves() -> None:
    """A zone that is down, or stuck, is changed at any time."""
    assert rollout.held(zones("old", "new"), closed="shut") == {"z0": "shut"}
    assert rollout.held(zones("old", "down"), closed="shut") == {"z0": "shut"}
    assert rollout.held(zones("old", "stuck"), closed="shut") == {"z0": "shut"}


@given(st.lists(st.sampled_from(["new", "old", "busy", "down"]), min_size=1, max_size=6))
def test_at_most_one_ready_zone_is_disturbed(states: list[str]) -> None:
    """Whatever the state, at most one zone is let go, and none beside a rollout."""
    pairs = zones(*states)
    held = rollout.held(pairs)
    free = [
        new["metadata"]["name"]
        for new, old in pairs
        if rollout.changed(new, old) and new["metadata"]["name"] not in held
    ]
    assert len(free) <= (0 if "busy" in states else 1)
    if "busy" not in states and not {"old", "down"}.isdisjoint(states):
        assert len(free) == 1
