"""A second cluster of its own: killed, brought up again over what was left, a node lost, down."""

import os
from collections.abc import Iterator

import pytest

from tests.kind_helper import choose
from tests.kind_helper.cluster import Cluster
from tests.kind_helper.errors import CommandFailed, Unavailable
from tests.kind_helper.fixtures import missing_cluster
from tests.kind_helper.local import clear, layout, network, provider
from tests.kind_helper.local.processes import Processes, kill
from tests.kind_helper.run import run, until
from tests.kind_helper.test_cluster import SECONDS, pod_with_volume, wait

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]

NAME = "lifecycle"


@pytest.fixture(scope="module")
def second() -> Iterator[Cluster]:
    """A cluster beside the tests' own, removed at the end."""
    try:
        found = choose.provider()
    except Unavailable as error:
        missing_cluster(error.message, os.environ.get("CI") == "true")
        raise
    if found.kind != "local":
        pytest.skip("only local nodes are killed")
    yield choose.up(NAME)
    choose.down(NAME)


def _layout() -> layout.Layout:
    found = provider.layout_of(NAME)
    assert found is not None
    return found


def test_a_lost_node_falls_silent_and_comes_back_with_its_data(second: Cluster) -> None:
    """A killed node takes its pods with it; restarted, they run again on the same volume."""
    second.kubectl("create", "namespace", "lost")
    wait(second, "lost", "create", "sa/default")
    pod_with_volume(second, "lost", "320Mi")
    execute = ("exec", "-n", "lost", "writer", "--")
    second.kubectl(*execute, "sh", "-c", "echo kept > /data/x; sync")
    node = second.kubectl("get", "pod", "writer", "-n", "lost", "-o", "jsonpath={.spec.nodeName}")
    zone = next(zone for zone, name in second.zones.items() if name == node)
    second.kill_node(zone)
    assert _layout().namespace(zone) not in network.namespaces(_layout())
    with pytest.raises(CommandFailed):
        second.kubectl(*execute, "true", timeout=15)
    second.restart_node(zone)

    until(
        lambda: second.kubectl(*execute, "cat", "/data/x", timeout=60) == "kept\n",
        "the pod is back with its data",
        seconds=SECONDS,
    )


def test_up_over_a_killed_run_works(second: Cluster) -> None:
    """With every process of it killed, volumes mounted and pods orphaned, `up` starts afresh."""
    second.kubectl("create", "namespace", "leftover")
    wait(second, "leftover", "create", "sa/default")
    pod_with_volume(second, "leftover", "320Mi")
    running, mounted = Processes(_layout()), clear.loops(_layout())
    assert mounted
    records = [running.record(name) for name in running.names()]
    kill([record.pid for record in records if record is not None])
    again = choose.up(NAME)
    assert set(again.kubectl("get", "nodes", "-o", "name").split()) == {
        f"node/{node}" for node in again.zones.values()
    }
    assert "leftover" not in again.kubectl("get", "namespaces", "-o", "name")
    assert not clear.loops(_layout())


def test_up_reuses_a_healthy_cluster(second: Cluster) -> None:
    """A second `up` starts nothing anew."""
    before = {name: Processes(_layout()).record(name) for name in Processes(_layout()).names()}
    choose.up(NAME)
    after = {name: Processes(_layout()).record(name) for name in Processes(_layout()).names()}
    assert after == before


def test_down_leaves_nothing(second: Cluster) -> None:
    """After `down` no process, namespace, mount, loop device, control group or route is left."""
    second.kubectl("create", "namespace", "last")
    wait(second, "last", "create", "sa/default")
    pod_with_volume(second, "last", "320Mi")
    gone = _layout()
    assert clear.leftovers(gone)
    choose.down(NAME)
    assert clear.leftovers(gone) == []
    assert f"uk-{NAME}" not in run(["ip", "route"])
    choose.down(NAME)
