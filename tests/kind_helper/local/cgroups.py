"""The control groups above a cluster's pods, in either version of the kernel's interface."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.kind_helper.local import processes
from tests.kind_helper.run import until

_CPUSET = ("cpuset.cpus", "cpuset.mems")


@dataclass(frozen=True)
class Hierarchy:
    """One mounted control group hierarchy."""

    mount: Path
    unified: bool


def hierarchies(mountinfo: str) -> list[Hierarchy]:
    """The hierarchies in the text of /proc/self/mountinfo.

    A version 2 hierarchy beside version 1 has no controllers, but runtimes use it all the same.
    """
    found: dict[Path, Hierarchy] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind = after.split()[0]
        mount = Path(before.split()[4])
        if kind == "cgroup":
            found[mount] = Hierarchy(mount, unified=False)
        elif kind == "cgroup2":
            found[mount] = Hierarchy(mount, unified=True)
    return list(found.values())


def mounted() -> list[Hierarchy]:
    """The hierarchies of this machine."""
    return hierarchies(Path("/proc/self/mountinfo").read_text())


def make(path: str) -> None:
    """Make the control group `path` (from the root) with usable CPUs in every hierarchy."""
    for hierarchy in mounted():
        group = hierarchy.mount
        for name in Path(path).parts[1:]:
            parent, group = group, group / name
            group.mkdir(exist_ok=True)
            if hierarchy.unified:
                _delegate(parent)
            elif (group / _CPUSET[0]).exists():
                # A new cpuset of version 1 is empty, and nothing can run in it.
                for file in _CPUSET:
                    (group / file).write_text((parent / file).read_text())
        if hierarchy.unified:
            _delegate(group)


def _delegate(group: Path) -> None:
    available = (group / "cgroup.controllers").read_text().split()
    enabled = (group / "cgroup.subtree_control").read_text().split()
    for controller in available:
        if controller not in enabled and controller in ("cpu", "cpuset", "memory", "pids", "io"):
            (group / "cgroup.subtree_control").write_text(f"+{controller}")


def _groups(path: str) -> list[Path]:
    """Every control group at and below `path`, the deepest first."""
    tops = [hierarchy.mount / path.lstrip("/") for hierarchy in mounted()]
    found = [folder for top in tops if top.is_dir() for folder in (top, *top.rglob("*/"))]
    return sorted((group for group in found if group.is_dir()), key=lambda g: -len(g.parts))


def members(groups: Iterable[Path]) -> set[int]:
    """The processes in the groups."""
    pids: set[int] = set()
    for group in groups:
        try:
            pids.update(int(pid) for pid in (group / "cgroup.procs").read_text().split())
        except (FileNotFoundError, OSError):
            continue
    return pids


def clear(path: str) -> None:
    """Kill every process in the control group `path` and below, and remove the groups."""

    def empty() -> bool:
        pids = members(_groups(path))
        processes.kill(sorted(pids))
        return not pids

    def removed() -> bool:
        for group in _groups(path):
            try:
                group.rmdir()
            except OSError:
                # Busy for a moment after its last process has ended.
                continue
        return not _groups(path)

    until(empty, f"emptying the control group {path}", seconds=60, every=0.05)
    until(removed, f"removing the control group {path}", seconds=60, every=0.05)
