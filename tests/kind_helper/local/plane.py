"""A control plane of its own and no node: for benches of what a cluster's brain is asked to do.

etcd, API server and controller manager are real; nobody watches for a node that is not there, and
there is nothing to schedule, unless kwok simulates nodes. The controllers run with their own
defaults, as on a production cluster; a test cluster's are told to hurry.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.kind_helper import binaries, versions
from tests.kind_helper.cluster import Cluster
from tests.kind_helper.local import control_plane, start
from tests.kind_helper.local.layout import CONTROL_PLANE, Layout
from tests.kind_helper.local.processes import Processes
from tests.kind_helper.local.provider import Local
from tests.kind_helper.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_MANAGER = "kube-controller-manager"
_NODES = 3
"""So many nodes are simulated, each with room for all."""
_UNHURRIED = ("--kube-api-qps=20", "--kube-api-burst=30")
"""What Kubernetes has by default."""
_HURRIED = ("--kube-api-qps=400", "--kube-api-burst=800")
# Nobody provides volumes here, and it would say so of each claim every 15 s.
_NO_BINDER = "--controllers=*,-persistentvolume-binder-controller"


def _tuned() -> dict[str, str]:
    """Give an environment that spends memory, of which there is enough, rather than CPU."""
    return {**os.environ, "GOGC": "300"}


class Plane:
    """A control plane that runs."""

    def __init__(self, layout: Layout, labels: Mapping[str, str] | None = None) -> None:
        self._layout = layout
        self._labels = labels
        self._processes = Processes(layout)
        self.cluster = Cluster(layout.name, layout.kubeconfig, {}, Local())

    def begin(self) -> None:
        """Start it, and wait until it answers."""
        start.apiserver(self._layout, _tuned())
        self._control(_UNHURRIED)
        if self._labels is not None:
            self._simulate(self._labels)

    def _simulate(self, labels: Mapping[str, str]) -> None:
        """Start a scheduler, and kwok, which says of nodes and their pods that they run."""
        flags = [*control_plane.scheduler_flags(self._layout), *_HURRIED]
        fake = [
            f"--kubeconfig={self._layout.kubeconfig}",
            "--manage-all-nodes=true",
            "--node-lease-duration-seconds=40",
        ]
        for name, arguments in (("kube-scheduler", flags), ("kwok", fake)):
            command = [binaries.program(name), *arguments]
            self._processes.start(name, command, namespace=CONTROL_PLANE, env=_tuned())
        nodes = [_node(f"{self._layout.name}-{number}", labels) for number in range(_NODES)]
        document = json.dumps({"apiVersion": "v1", "kind": "List", "items": nodes})
        self.cluster.kubectl("create", "--filename=-", input=document)

    def hurry(self) -> None:
        """Start the controllers anew, with so many calls a second that nobody has to wait long."""
        self._processes.stop([_MANAGER])
        self._control(_HURRIED)

    def _control(self, pace: Sequence[str]) -> None:
        flags = control_plane.controller_manager_flags(self._layout)
        binder = [_NO_BINDER] if self._labels is None else []
        command = [binaries.program(_MANAGER), *flags, *pace, *binder]
        self._processes.start(_MANAGER, command, namespace=CONTROL_PLANE, env=_tuned())

    def processes(self) -> dict[str, int]:
        """Give the process ids, by name."""
        records = {name: self._processes.record(name) for name in self._processes.names()}
        return {name: record.pid for name, record in records.items() if record}


def _node(name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    room = {"cpu": "1k", "memory": "1Ti", "pods": "10k"}
    metadata = {"name": name, "labels": dict(labels)}
    status = {"capacity": room, "allocatable": room}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status}


@contextmanager
def running(name: str, simulated: Mapping[str, str] | None = None) -> Iterator[Plane]:
    """Give a control plane, empty, and leave nothing of it.

    ``simulated``: with nodes that have these labels, which kwok simulates; it is built when it is
    needed first. Needs root. What an earlier run of this name left is taken away before. Raises
    `KindHelperError` when it does not start.
    """
    if simulated is not None:
        binaries.build([part for part in versions.OPTIONAL if part.name == "kwok"])
    try:
        plane = Plane(Local().reserve(name, Silent()), simulated)
        plane.begin()
        yield plane
    finally:
        Local().down(name, Silent())
