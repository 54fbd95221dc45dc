"""Removes what a cluster left on the machine, and only that, however its run ended."""

import contextlib
import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path

from tests.kind_helper.errors import CommandFailed, KindHelperError
from tests.kind_helper.local import cgroups, network, processes
from tests.kind_helper.local.layout import ZONES, Layout
from tests.kind_helper.run import run, until

_OUTSIDE = (
    *("/var/lib/kubelet/device-plugins", "/var/lib/kubelet", "/var/log/containers"),
    *("/var/lib/cni/results", "/var/lib/cni", "/run/containerd/s", "/run/containerd"),
)
"""Folders at fixed places that the programs make, children before parents."""
_DEVICE_SOCKET = Path("/var/lib/kubelet/device-plugins/kubelet.sock")
_CNI_RESULTS = Path("/var/lib/cni/results")
_LOG_LINKS = Path("/var/log/containers")


def mounts_below(mountinfo: str, folder: Path) -> list[str]:
    """The mount points at or below `folder`, in the order to unmount them."""
    points = [line.split()[4] for line in mountinfo.splitlines()]
    # The kernel writes blanks and the like as octal numbers.
    plain = [point.encode().decode("unicode_escape") for point in points]
    return [point for point in reversed(plain) if Path(point).is_relative_to(folder)]


def loop_devices(listing: str, files: Collection[tuple[str, int]]) -> list[str]:
    """The loop devices over these files, from the JSON that `losetup` lists.

    Files are known by their device's numbers and inode: names change when a mount is taken away.
    """
    devices = json.loads(listing)["loopdevices"] if listing.strip() else []
    return [
        device["name"]
        for device in devices
        if (device["back-maj:min"].strip(), int(device["back-ino"])) in files
    ]


def loops(layout: Layout) -> list[str]:
    """The loop devices over the cluster's disks."""
    return loops_over({identity(file) for file in (layout.state / "volumes").glob("*.xfs")})


def identity(file: Path) -> tuple[str, int]:
    """What a file is known by to loop devices, also when its name is gone."""
    status = file.stat()
    return f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}", status.st_ino


def loops_over(files: Collection[tuple[str, int]]) -> list[str]:
    """The loop devices over files of these identities."""
    columns = "NAME,BACK-INO,BACK-MAJ:MIN"
    return loop_devices(run(["losetup", "--list", "--json", "--output", columns]), files)


def everything(layout: Layout) -> None:
    """End the cluster's processes and remove all it made. Safe to call when nothing is left.

    Raises `KindHelperError` when something stays, such as a mount that is in use.
    """
    running = processes.Processes(layout)
    running.stop(running.names())
    _end_runtime(layout, layout.state)
    cgroups.clear(layout.cgroup)
    _detach(layout)
    unmount(layout.state)
    network.remove(layout)
    _traces(layout)
    if layout.state.exists():
        shutil.rmtree(layout.state)


def node(layout: Layout, zone: str) -> None:
    """Lose one node at once: its processes, containers and network; its disk stays."""
    network.cut(layout, zone)
    running = processes.Processes(layout)
    running.stop([name for name in running.names() if name.endswith(f"-{zone}")])
    _end_runtime(layout, layout.node_folder(zone))
    cgroups.clear(f"{layout.cgroup}/{zone}")
    unmount(layout.node_folder(zone))
    network.remove(layout, [zone])
    shutil.rmtree(layout.node_folder(zone) / "containerd" / "state", ignore_errors=True)
    shutil.rmtree(layout.node_folder(zone) / "addresses", ignore_errors=True)


def _end_runtime(layout: Layout, folder: Path) -> None:
    """Kill shims and what no record knows, and unlink the shims' sockets."""
    for zone in ZONES:
        zone_folder = layout.node_folder(zone)
        if not zone_folder.is_relative_to(folder):
            continue
        shims = zone_folder / "containerd" / "state" / "io.containerd.runtime.v2.task"
        for address in shims.glob("*/*/address"):
            Path(address.read_text().strip().removeprefix("unix://")).unlink(missing_ok=True)

    def ended() -> bool:
        left = processes.owned_processes(folder)
        processes.kill(left)
        return not left

    until(ended, f"ending the processes of {folder}", seconds=60, every=0.05)


def unmount(folder: Path) -> None:
    """Take away every mount at and below the folder, even one that is in use."""

    def unmounted() -> bool:
        points = mounts_below(Path("/proc/self/mountinfo").read_text(), folder)
        for point in points:
            try:
                run(["umount", point])
            except CommandFailed:
                # Busy: taken out of the tree now, gone with its last user.
                run(["umount", "--lazy", point])
        return not points

    until(unmounted, f"unmounting what is below {folder}", seconds=60)


def _detach(layout: Layout) -> None:
    """Let go of the loop devices: one that is still mounted goes with its last mount."""
    for device in loops(layout):
        run(["losetup", "--detach", device])


def remember_outside(layout: Layout) -> None:
    """Write down which of the fixed folders the cluster will have made, for `everything`."""
    made = [folder for folder in _OUTSIDE if not Path(folder).exists()]
    (layout.state / "outside.json").write_text(json.dumps(made))


def _traces(layout: Layout) -> None:
    """Remove what programs keep at fixed places outside the state folder."""
    remembered = layout.state / "outside.json"
    made = json.loads(remembered.read_text()) if remembered.exists() else []
    if str(_DEVICE_SOCKET.parent) in made:
        _DEVICE_SOCKET.unlink(missing_ok=True)
    mark = f"{layout.state}/".encode()
    for result in _CNI_RESULTS.glob("*"):
        if mark in result.read_bytes():
            result.unlink()
    for link in _LOG_LINKS.glob("*.log"):
        if link.is_symlink() and str(link.readlink()).startswith(f"{layout.state}/"):
            link.unlink()
    for folder in made:
        with contextlib.suppress(OSError):
            # Not empty: somebody else uses it by now.
            Path(folder).rmdir()


def leftovers(layout: Layout) -> list[str]:
    """What of the cluster is on the machine, in words; empty after `everything`."""
    found = [f"process {pid}" for pid in processes.owned_processes(layout.state)]
    found += [f"network namespace {name}" for name in network.namespaces(layout)]
    text = Path("/proc/self/mountinfo").read_text()
    found += [f"mount {point}" for point in mounts_below(text, layout.state)]
    found += [f"loop device {device}" for device in loops(layout)]
    for hierarchy in cgroups.mounted():
        group = hierarchy.mount / layout.cgroup.lstrip("/")
        found += [f"control group {group}"] if group.exists() else []
    if Path("/sys/class/net", layout.host_link).exists():
        found.append(f"interface {layout.host_link}")
    if layout.state.exists():
        found.append(f"folder {layout.state}")
    return found


def require_root() -> None:
    """Raise `KindHelperError` without the rights that all this needs."""
    if os.geteuid() != 0:
        raise KindHelperError(
            "local nodes need root", "Run as root, start a container engine, or name a context."
        )
