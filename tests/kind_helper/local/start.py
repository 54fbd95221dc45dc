"""Starts the daemons of a local cluster, in the order in which they need each other."""

import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.kind_helper import archive, binaries, paths
from tests.kind_helper.local import cgroups, clear, control_plane, network, node
from tests.kind_helper.local.layout import CONTROL_PLANE, ZONES, Layout
from tests.kind_helper.local.pki import Authority
from tests.kind_helper.local.processes import Processes
from tests.kind_helper.run import run, succeeds, until
from tests.kind_helper.volumes import classes

APISERVER_DAEMONS = ("etcd", "kube-apiserver")
CONTROL_PLANE_DAEMONS = (
    *APISERVER_DAEMONS,
    *("kube-controller-manager", "kube-scheduler", "coredns", "volumes"),
)
NODE_DAEMONS = ("containerd", "kubelet", "kube-proxy")


def expected() -> list[str]:
    """The names of all daemons of a whole cluster."""
    return [*CONTROL_PLANE_DAEMONS, *(f"{name}-{zone}" for zone in ZONES for name in NODE_DAEMONS)]


def kubectl(layout: Layout, *arguments: str, stdin: str | None = None) -> str:
    """Run kubectl as the administrator."""
    return run(kubectl_command(layout, *arguments), stdin=stdin, timeout=300)


def kubectl_command(layout: Layout, *arguments: str) -> list[object]:
    """The command that asks the cluster as the administrator."""
    return [binaries.program("kubectl"), f"--kubeconfig={layout.kubeconfig}", *arguments]


def prepare(layout: Layout) -> Authority:
    """Make the folders, certificates, control groups and the control plane's network."""
    layout.state.mkdir(parents=True, mode=0o755)
    (layout.state / "cluster.json").write_text(json.dumps({"slot": layout.slot}))
    clear.remember_outside(layout)
    # Mounts below must be seen by containers that ask for that; the rest of the machine's
    # mounts are left as they are.
    run(["mount", "--bind", layout.state, layout.state])
    run(["mount", "--make-rshared", layout.state])
    (layout.state / "resolv.conf").write_text(f"nameserver {layout.control_plane_address}\n")
    (layout.state / "Corefile").write_text(control_plane.corefile(layout))
    authority = control_plane.issue_certificates(layout)
    for zone in ZONES:
        issue_node_certificates(layout, authority, zone)
        node.write_configs(layout, zone)
    network.make_control_plane(layout)
    return authority


def issue_node_certificates(layout: Layout, authority: Authority, zone: str) -> None:
    """The kubelet's certificate, for its own port and for the API server's."""
    user = f"system:node:{layout.node(zone)}"
    control_plane.write_kubeconfig(layout, authority, f"kubelet-{zone}", user, "system:nodes")
    hosts = [layout.node(zone), str(layout.node_address(zone))]
    authority.issue(f"kubelet-{zone}", user, "system:nodes", hosts)


def apiserver(layout: Layout, env: Mapping[str, str] | None = None) -> None:
    """Start the store and the API server, and wait until it is ready."""
    running = Processes(layout)
    flags = {
        "etcd": control_plane.etcd_flags(layout),
        "kube-apiserver": control_plane.apiserver_flags(layout),
    }
    for name, arguments in flags.items():
        command = [binaries.program(name), *arguments]
        running.start(name, command, namespace=CONTROL_PLANE, env=env)

    def ready() -> bool:
        for name in flags:
            running.check(name)
        return _ready(layout)

    until(ready, "the API server is ready", seconds=300, hint=str(running.log("kube-apiserver")))


def _ready(layout: Layout) -> bool:
    asked = kubectl_command(layout, "get", "--raw", "/readyz")
    return _listens(layout) and succeeds(asked, timeout=20)


def _listens(layout: Layout) -> bool:
    """Whether the port answers; cheaper to ask than a start of kubectl."""
    try:
        urllib.request.urlopen(f"http://{layout.control_plane_address}:6443/", timeout=5).close()
    except urllib.error.HTTPError:
        # Plain HTTP on a TLS port: refused in words, so somebody is there.
        return True
    except OSError:
        return False
    return True


def controllers(layout: Layout) -> None:
    """Start everything of the control plane that needs the API server."""
    running = Processes(layout)
    flags = {
        "kube-controller-manager": control_plane.controller_manager_flags(layout),
        "kube-scheduler": control_plane.scheduler_flags(layout),
        "coredns": ["-conf", str(layout.state / "Corefile")],
    }
    for name, arguments in flags.items():
        running.start(name, [binaries.program(name), *arguments], namespace=CONTROL_PLANE)
    objects = [*control_plane.coredns_rbac(), *classes.storage_classes()]
    document = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    kubectl(layout, "apply", "-f", "-", stdin=document)
    volumes(layout)


def volumes(layout: Layout) -> None:
    """Start the volume controller; it runs in the root namespace, as the mounts are there."""
    command = [sys.executable, "-m", "tests.kind_helper.volumes", layout.state, layout.kubeconfig]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(paths.REPOSITORY)}
    Processes(layout).start("volumes", command, env=environment, cwd=paths.REPOSITORY)


def runtime(layout: Layout, zone: str) -> None:
    """Make the node's network and control group, start containerd, import the small images."""
    network.make_node(layout, zone)
    cgroups.make(f"{layout.cgroup}/{zone}")
    running, name = Processes(layout), f"containerd-{zone}"
    config = layout.node_folder(zone) / "containerd.toml"
    program = shutil.which("containerd") or "containerd"
    running.start(name, [program, "--config", config], namespace=zone)

    def answers() -> bool:
        running.check(name)
        return layout.containerd_socket(zone).exists() and succeeds(ctr(layout, zone, "version"))

    until(answers, f"{name} answers", seconds=240, hint=str(running.log(name)))
    for image in (archive.pause(), archive.busybox()):
        import_image(layout, zone, image)


def ctr(layout: Layout, zone: str, *arguments: str | Path) -> list[object]:
    """The command that speaks to a node's containerd."""
    return ["ctr", "-a", layout.containerd_socket(zone), "-n", "k8s.io", *arguments]


def import_image(layout: Layout, zone: str, file: Path) -> None:
    """Give a node the images of a docker archive, and let go of those that they replace."""
    run(ctr(layout, zone, "images", "import", file), timeout=600)
    replaced = dangling(run(ctr(layout, zone, "images", "ls")))
    if replaced:
        run(ctr(layout, zone, "images", "rm", *replaced))


def dangling(listing: str) -> list[str]:
    """The bare digests in what `ctr images ls` prints that no named image has any more.

    The kubelet never removes them here, and each is a whole image on the disk. Containers that
    run from one keep what they need of it.
    """
    rows = [line.split()[:3] for line in listing.splitlines()[1:] if line.strip()]
    named = {row[2] for row in rows if not row[0].startswith("sha256:")}
    return [row[0] for row in rows if row[0].startswith("sha256:") and row[2] not in named]


def kubelet(layout: Layout, zone: str) -> None:
    """Start the node's kubelet and kube-proxy."""
    running = Processes(layout)
    flags = node.kubelet_flags(layout, zone)
    running.start(f"kubelet-{zone}", [binaries.program("kubelet"), *flags], namespace=zone)
    config = layout.node_folder(zone) / "kube-proxy.json"
    proxy = [binaries.program("kube-proxy"), f"--config={config}"]
    running.start(f"kube-proxy-{zone}", proxy, namespace=zone)


def runtimes(layout: Layout) -> None:
    """Start the container runtimes of all nodes at once."""
    with ThreadPoolExecutor(len(ZONES)) as pool:
        list(pool.map(lambda zone: runtime(layout, zone), ZONES))


def nodes_ready(layout: Layout, seconds: int = 240) -> None:
    """Wait until every node is Ready."""
    names = [f"node/{layout.node(zone)}" for zone in ZONES]
    for name in names:
        kubectl(layout, "wait", "--for=create", name, f"--timeout={seconds}s")
    kubectl(layout, "wait", "--for=condition=Ready", *names, f"--timeout={seconds}s")
