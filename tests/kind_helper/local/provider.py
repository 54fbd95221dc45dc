"""The provider of local clusters: up, down, images, and the loss of a node."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.kind_helper import archive, binaries, debian, paths, versions
from tests.kind_helper.cluster import Cluster
from tests.kind_helper.errors import CommandFailed, KindHelperError
from tests.kind_helper.local import clear, network, start
from tests.kind_helper.local.layout import (
    ZONES,
    Layout,
    check_name,
    free_slot,
    routed_networks,
)
from tests.kind_helper.local.processes import Processes
from tests.kind_helper.locks import locked
from tests.kind_helper.progress import Progress
from tests.kind_helper.run import run, succeeds, until

_WHOLE = "whole"
"""Written when a cluster is completely up, with what it was made of."""
_GENERATION = f"{versions.KUBERNETES} {versions.ETCD} {versions.COREDNS} 1"
"""A cluster of another one is not reused; the last number counts changes of its make-up."""


def layout_of(name: str) -> Layout | None:
    """Where the cluster of this name is, or was before its run was killed; None without one."""
    try:
        content = json.loads((paths.STATE_ROOT / check_name(name) / "cluster.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return Layout(name, int(content["slot"]))


def stamp(archive: Path) -> str:
    """What tells one archive from another without reading it."""
    status = archive.stat()
    return f"{archive.resolve()} {status.st_size} {status.st_ino} {status.st_ctime_ns}"


def loaded_mark(layout: Layout, zone: str, image: str) -> Path:
    """Where a node's last load of an image is written down."""
    folder = layout.node_folder(zone) / "loaded"
    folder.mkdir(exist_ok=True)
    return folder / image.replace("/", "_").replace(":", "_")


class Local:
    """Clusters of real nodes on this machine; needs root, and no container engine."""

    kind = "local"

    def up(self, name: str, progress: Progress) -> Cluster:
        """Bring the cluster up, or reuse it when it is healthy."""
        check_name(name)
        clear.require_root()
        debian.install(progress)
        binaries.build(progress=progress)
        with self._lock(progress):
            layout = layout_of(name)
            if layout and self._healthy(layout):
                return self._cluster(layout)
            with progress.step("clearing what an earlier run left", 2):
                clear.everything(layout or Layout(name))
            self._start(Layout(name, self._slot(name)), progress)
            return self.find(name)

    def control_plane(self, name: str, progress: Progress) -> Cluster:
        """Bring up a control plane without nodes, anew: for what nobody else's may suffer."""
        layout = self.reserve(name, progress)
        start.apiserver(layout)
        start.controllers(layout)
        return Cluster(name, layout.kubeconfig, {}, self)

    def kill_apiserver(self, name: str) -> None:
        """Kill the API server and its store at once; what is in the store stays."""
        Processes(self._known(name)).stop(start.APISERVER_DAEMONS)

    def restart_apiserver(self, name: str) -> None:
        """Start both again, and wait until the API server is ready."""
        start.apiserver(self._known(name))

    def down(self, name: str, progress: Progress) -> None:
        """Remove everything of the cluster; nothing happens when there is none."""
        layout = layout_of(name) or Layout(check_name(name))
        clear.require_root()
        with self._lock(progress):
            with progress.step(f"taking down {name}", 5):
                clear.everything(layout)
            if not list(paths.STATE_ROOT.iterdir()):
                paths.STATE_ROOT.rmdir()

    def reserve(self, name: str, progress: Progress) -> Layout:
        """Clear what an earlier run left, and make folders, certificates and a control plane's
        network: what `plane` starts upon.
        """
        check_name(name)
        clear.require_root()
        debian.install(progress)
        binaries.build(progress=progress)
        with self._lock(progress):
            clear.everything(layout_of(name) or Layout(name))
            layout = Layout(name, self._slot(name))
            start.prepare(layout)
            return layout

    def find(self, name: str) -> Cluster:
        """The cluster that is up. Raises `KindHelperError` when there is none."""
        layout = layout_of(name)
        if layout is None or not layout.kubeconfig.exists():
            raise KindHelperError(
                f"there is no local cluster {name!r}", "Start it: python -m tests.kind_helper up"
            )
        return self._cluster(layout)

    def load(self, cluster: Cluster, archive: Path, image: str) -> None:
        """Bring an image from a docker archive to every living node."""
        layout = self._layout(cluster)

        def to(zone: str) -> None:
            if self._loaded(layout, zone, archive, image):
                return
            start.import_image(layout, zone, archive)
            names = run(start.ctr(layout, zone, "images", "ls", "-q")).split()
            if image not in names:
                raise KindHelperError(
                    f"{archive} does not hold the image {image}",
                    "Write it with that name: buildah push … docker-archive:FILE:NAME",
                )
            loaded_mark(layout, zone, image).write_text(stamp(archive))

        with ThreadPoolExecutor(len(ZONES)) as pool:
            list(pool.map(to, self._living(layout)))

    def address(self, cluster: Cluster, zone: str) -> str:
        """The IP address of the zone's node."""
        return str(self._layout(cluster).node_address(zone))

    def kill_node(self, cluster: Cluster, zone: str) -> None:
        """Lose the zone's node at once; the host routes Services by way of the others."""
        layout = self._layout(cluster)
        clear.node(layout, zone)
        network.make_routes(layout, self._living(layout))

    def restart_node(self, cluster: Cluster, zone: str) -> None:
        """Start a lost node again."""
        layout = self._layout(cluster)
        if zone in self._living(layout):
            return
        clear.node(layout, zone)
        start.runtime(layout, zone)
        start.kubelet(layout, zone)
        network.make_routes(layout, self._living(layout))
        # Its condition may still read Ready from before: ask the kubelet itself.
        path = f"/api/v1/nodes/{layout.node(zone)}/proxy/healthz"
        answers = start.kubectl_command(layout, "get", "--raw", path)
        until(lambda: succeeds(answers), f"the kubelet of {zone} answers", seconds=240)

    def status(self, name: str) -> dict[str, bool]:
        """Whether each daemon of the cluster runs; empty without a cluster."""
        layout = layout_of(name)
        if layout is None:
            return {}
        running = Processes(layout)
        return {daemon: running.running(daemon) for daemon in start.expected()}

    def _start(self, layout: Layout, progress: Progress) -> None:
        archive.pause()
        archive.busybox()
        with progress.step("making networks and certificates", 1):
            start.prepare(layout)
        with (
            progress.step("starting the control plane and three container runtimes", 6),
            ThreadPoolExecutor(1) as pool,
        ):
            nodes = pool.submit(start.runtimes, layout)
            start.apiserver(layout)
            start.controllers(layout)
            nodes.result()
        with progress.step("starting three nodes in " + ", ".join(ZONES), 10):
            for zone in ZONES:
                start.kubelet(layout, zone)
            network.make_routes(layout)
            start.nodes_ready(layout)
        (layout.state / _WHOLE).write_text(_GENERATION)

    def _healthy(self, layout: Layout) -> bool:
        running, mark = Processes(layout), layout.state / _WHOLE
        if not mark.exists() or mark.read_text() != _GENERATION:
            return False
        if not all(running.running(name) for name in start.expected() if name != "volumes"):
            return False
        try:
            # Nodes of a busy machine may be late with their heartbeat: others may be using them.
            start.nodes_ready(layout, seconds=60)
        except CommandFailed:
            return False
        if not running.running("volumes"):
            start.volumes(layout)
        return True

    def _loaded(self, layout: Layout, zone: str, archive: Path, image: str) -> bool:
        """Whether this very archive was the last one loaded under this name."""
        mark = loaded_mark(layout, zone, image)
        if not mark.exists() or mark.read_text() != stamp(archive):
            return False
        return image in run(start.ctr(layout, zone, "images", "ls", "-q")).split()

    def _cluster(self, layout: Layout) -> Cluster:
        zones = {zone: layout.node(zone) for zone in ZONES}
        return Cluster(layout.name, layout.kubeconfig, zones, self)

    def _layout(self, cluster: Cluster) -> Layout:
        return self._known(cluster.name)

    def _known(self, name: str) -> Layout:
        layout = layout_of(name)
        if layout is None:
            raise KindHelperError(f"the cluster {name!r} is gone", "Start it again.")
        return layout

    def _living(self, layout: Layout) -> list[str]:
        running = Processes(layout)
        return [zone for zone in ZONES if running.running(f"kubelet-{zone}")]

    def _slot(self, name: str) -> int:
        others = (layout_of(file.parent.name) for file in paths.STATE_ROOT.glob("*/cluster.json"))
        taken = [other.slot for other in others if other and other.name != name]
        return free_slot(name, taken, routed_networks(run(["ip", "-4", "route"])))

    @contextmanager
    def _lock(self, progress: Progress) -> Iterator[None]:
        before = os.umask(0o022)
        try:
            with locked(
                paths.STATE_ROOT,
                lambda: progress.note("another process works on a cluster: waiting"),
            ):
                yield
        finally:
            os.umask(before)
