"""A control plane of its own and no node: for benches of what a cluster's brain is asked to do.

etcd, API server and controller manager are real; nobody watches for a node that is not there, and
there is nothing to schedule. The controllers run with their own defaults, as on a production
cluster; a test cluster's are told to hurry.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.kind_helper import binaries
from tests.kind_helper.cluster import Cluster
from tests.kind_helper.local import control_plane, start
from tests.kind_helper.local.layout import CONTROL_PLANE, Layout
from tests.kind_helper.local.processes import Processes
from tests.kind_helper.local.provider import Local
from tests.kind_helper.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MANAGER = "kube-controller-manager"
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

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._processes = Processes(layout)
        self.cluster = Cluster(layout.name, layout.kubeconfig, {}, Local())

    def begin(self) -> None:
        """Start it, and wait until it answers."""
        start.apiserver(self._layout, _tuned())
        self._control(_UNHURRIED)

    def hurry(self) -> None:
        """Start the controllers anew, with so many calls a second that nobody has to wait long."""
        self._processes.stop([_MANAGER])
        self._control(_HURRIED)

    def _control(self, pace: Sequence[str]) -> None:
        flags = control_plane.controller_manager_flags(self._layout)
        command = [binaries.program(_MANAGER), *flags, *pace, _NO_BINDER]
        self._processes.start(_MANAGER, command, namespace=CONTROL_PLANE, env=_tuned())

    def processes(self) -> dict[str, int]:
        """Give the process ids, by name."""
        records = {name: self._processes.record(name) for name in self._processes.names()}
        return {name: record.pid for name, record in records.items() if record}


@contextmanager
def running(name: str) -> Iterator[Plane]:
    """Give a control plane, empty, and leave nothing of it.

    Needs root. What an earlier run of this name left is taken away before. Raises
    `KindHelperError` when it does not start.
    """
    try:
        plane = Plane(Local().reserve(name, Silent()))
        plane.begin()
        yield plane
    finally:
        Local().down(name, Silent())
