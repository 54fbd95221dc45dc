"""The pure parts of local nodes: addresses, ownership, traces of a killed run."""

import os
import subprocess
import sys
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from tests.kind_helper.errors import KindHelperError
from tests.kind_helper.local import (
    cgroups,
    clear,
    control_plane,
    layout,
    network,
    node,
    processes,
    start,
)
from tests.kind_helper.local.layout import Layout

STATE = Path("/var/lib/usage-kind/demo")


def test_clusters_do_not_share_addresses() -> None:
    """No two slots, and no two ranges of one slot, overlap."""
    networks = [net for slot in range(layout.SLOTS) for net in Layout("x", slot).networks]
    pairs = [(a, b) for n, a in enumerate(networks) for b in networks[n + 1 :]]
    assert not any(a.overlaps(b) for a, b in pairs)


def test_the_slot_avoids_other_clusters_and_routes() -> None:
    """The lowest slot that neither another cluster nor the machine's routes use is taken."""
    assert layout.free_slot("x", [], []) == 0
    assert layout.free_slot("x", [0, 1], []) == 2
    assert layout.free_slot("x", [0], [IPv4Network("10.145.3.0/24")]) == 2
    with pytest.raises(KindHelperError, match="no free address range"):
        layout.free_slot("x", range(layout.SLOTS), [])


def test_routes_are_read_as_the_tool_prints_them() -> None:
    """Networks and single hosts are read, the default route is not."""
    text = "default via 192.0.2.1 dev eth0\n10.1.0.0/16 dev a scope link\n10.2.0.7 dev b\n"
    assert [str(net) for net in layout.routed_networks(text)] == ["10.1.0.0/16", "10.2.0.7/32"]


@pytest.mark.parametrize("name", ["", "Usage", "a-b", "a/b", "1a", "abcdefghijkl", ".."])
def test_names_that_do_not_fit_are_refused(name: str) -> None:
    """A name must fit into interface names and be no path."""
    with pytest.raises(KindHelperError, match="cannot be the name"):
        layout.check_name(name)


def test_only_programs_of_this_cluster_are_its_own() -> None:
    """Neither a user's tools on its files nor another cluster's programs are."""

    def line(*words: str) -> bytes:
        return "\0".join(words).encode() + b"\0"

    assert processes.owned(line("/bin/kubelet", f"--config={STATE}/nodes/a/kubelet.json"), STATE)
    shim = "/usr/bin/containerd-shim-runc-v2"
    assert processes.owned(line(shim, "-address", f"{STATE}/nodes/a/containerd.sock"), STATE)
    volumes = line("/venv/bin/python", "-m", "tests.kind_helper.volumes", str(STATE))
    assert processes.owned(volumes, STATE)
    assert not processes.owned(line("/usr/bin/tail", "-f", f"{STATE}/logs/etcd.log"), STATE)
    assert not processes.owned(line("kubectl", f"--kubeconfig={STATE}/admin.kubeconfig"), STATE)
    assert not processes.owned(line("/bin/kubelet", "--config=/etc/kubelet.json"), STATE)
    assert not processes.owned(line("/bin/kubelet", f"--config={STATE}2/kubelet.json"), STATE)
    assert not processes.owned(b"", STATE)


def test_a_used_again_process_id_is_not_ours() -> None:
    """A record counts only while its process has the recorded start time."""
    started = processes.start_time(os.getpid())
    assert started is not None
    assert processes.alive(processes.Record(os.getpid(), started))
    assert not processes.alive(processes.Record(os.getpid(), started + 1))


def test_a_killed_process_is_gone() -> None:
    """Killing waits for the end, and what is only left to be reaped counts as ended."""
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        record = processes.Record(child.pid, processes.start_time(child.pid) or 0)
        assert processes.alive(record)
        processes.kill([child.pid])
        assert not processes.alive(record)
    finally:
        child.kill()
        child.wait()


def test_mounts_are_taken_away_from_the_inside() -> None:
    """Only mounts of the state folder are found, later ones first."""
    text = (
        "1 0 8:1 / / rw - ext4 /dev/a rw\n"
        f"2 1 8:1 /x {STATE} rw - ext4 /dev/a rw\n"
        f"3 2 7:0 / {STATE}/volumes/a\\040b rw - xfs /dev/loop0 rw\n"
        f"4 1 8:1 / {STATE}2 rw - ext4 /dev/a rw\n"
    )
    assert clear.mounts_below(text, STATE) == [f"{STATE}/volumes/a b", str(STATE)]


def test_loop_devices_are_known_by_their_file() -> None:
    """A loop device is ours when the file behind it is, whatever its name reads by now."""
    listing = (
        '{"loopdevices": [{"name": "/dev/loop0", "back-ino": 7, "back-maj:min": " 8:1"},'
        '{"name": "/dev/loop1", "back-ino": 7, "back-maj:min": "8:2"}]}'
    )
    assert clear.loop_devices(listing, {("8:1", 7)}) == ["/dev/loop0"]
    assert clear.loop_devices("", {("8:1", 7)}) == []


def test_both_versions_of_control_groups_are_found() -> None:
    """Version 1 hierarchies and a unified one beside them are all found."""
    text = (
        "1 0 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
        "2 0 0:2 / /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw\n"
        "3 0 0:3 / /proc rw - proc proc rw\n"
    )
    found = cgroups.hierarchies(text)
    assert [(str(h.mount), h.unified) for h in found] == [
        ("/sys/fs/cgroup/cpu", False),
        ("/sys/fs/cgroup/unified", True),
    ]


def test_the_bridge_keeps_its_hardware_address() -> None:
    """A bridge whose address changes as ports join makes first connections hang."""
    commands = network.control_plane_commands(Layout("demo", 2))
    bridge = next(command for command in commands if command[-2:] == ["type", "bridge"])
    assert bridge[bridge.index("address") + 1].startswith("02:")


def test_services_are_routed_over_all_living_nodes() -> None:
    """Cluster IPs have a next hop for each living node."""
    route = network.service_route(Layout("demo"), ["eu-1a", "eu-1c"])
    assert route[2] == "10.112.0.0/18"
    assert [word for word in route if word.startswith("10.88.")] == ["10.88.0.11", "10.88.0.13"]


def test_nodes_keep_apart() -> None:
    """Each node has its own pods' range, control group, runtime state and logs."""
    demo = Layout("demo", 1)
    configs = [node.kubelet_config(demo, zone) for zone in layout.ZONES]
    for key in ("cgroupRoot", "podLogsDir", "containerRuntimeEndpoint", "address"):
        assert len({config[key] for config in configs}) == 3
    assert len({str(demo.pods_of(zone)) for zone in layout.ZONES}) == 3
    assert str(demo.node_folder("eu-1a")) in node.containerd_config(demo, "eu-1a")


def test_replaced_images_are_let_go() -> None:
    """A digest that no name has any more is removed; those of named images stay."""
    listing = (
        "REF TYPE DIGEST SIZE\n"
        "localhost/x:1 t sha256:new 1 MiB\n"
        "sha256:id-new t sha256:new 1 MiB\n"
        "sha256:id-old t sha256:old 1 MiB\n"
    )
    assert start.dangling(listing) == ["sha256:id-old"]


def test_admission_stays_as_it_is_by_default() -> None:
    """Plugins are only added, so PodSecurity and admission policies stay on; RBAC is on."""
    flags = control_plane.apiserver_flags(Layout("demo"))
    assert not any(flag.startswith("--disable-admission-plugins") for flag in flags)
    assert "--authorization-mode=Node,RBAC" in flags
