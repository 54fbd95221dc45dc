"""The cluster itself: zones, volumes that fill up, grow and go, names and Services."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.kind_helper import archive
from tests.kind_helper.cluster import Cluster
from tests.kind_helper.errors import CommandFailed, KindHelperError
from tests.kind_helper.local import clear, provider
from tests.kind_helper.run import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

NewNamespace = Callable[..., str]
SECONDS = 240
_URL = "http://web:8080/"
_SERVER = 'hostname > /data/index.html; exec httpd -f -p 8080 -h /data & trap "exit 0" TERM; wait'


def container(command: str) -> dict[str, Any]:
    """A container that passes `restricted` and keeps its data in /data."""
    return {
        "name": "main",
        "image": archive.BUSYBOX,
        "command": ["sh", "-c", command],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }


def pod_spec(command: str, **more: Any) -> dict[str, Any]:
    """A pod's spec that passes `restricted`, for an unprivileged user and group."""
    user = {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000}
    return {
        "terminationGracePeriodSeconds": 1,
        "securityContext": {**user, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container(command)],
        **more,
    }


def claim(name: str, size: str, storage_class: str | None = None) -> dict[str, Any]:
    """A claim for one volume."""
    named = {"storageClassName": storage_class} if storage_class else {}
    requests = {"requests": {"storage": size}}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": requests, **named}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": spec,
    }


def apply(cluster: Cluster, namespace: str, *objects: dict[str, Any]) -> None:
    """Apply objects in a namespace."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=text)


def wait(cluster: Cluster, namespace: str, state: str, *what: str) -> None:
    """Wait until objects are so far; a busy machine may take long."""
    limit = ("-n", namespace, f"--for={state}", f"--timeout={SECONDS}s")
    cluster.kubectl("wait", *limit, *what, timeout=SECONDS + 30)


def pod_with_volume(
    cluster: Cluster, namespace: str, size: str, storage_class: str | None = None
) -> None:
    """A Ready pod `writer` with the claim `data` mounted."""
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    spec = pod_spec('trap "exit 0" TERM; sleep 3600 & wait', volumes=volumes)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "writer"}, "spec": spec}
    apply(cluster, namespace, claim("data", size, storage_class), pod)
    wait(cluster, namespace, "condition=Ready", "pod/writer")


def test_three_zones_are_ready(cluster: Cluster) -> None:
    """There are nodes in three zones, each Ready and known by its zone."""
    nodes = json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"]
    ready = {
        node["metadata"]["labels"].get("topology.kubernetes.io/zone")
        for node in nodes
        if any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])
    }
    assert {"eu-1a", "eu-1b", "eu-1c"} <= ready
    assert list(cluster.zones) == ["eu-1a", "eu-1b", "eu-1c"]
    with pytest.raises(KindHelperError, match="no zone 'mars'"):
        cluster.node_address("mars")


def test_restricted_namespaces_refuse_privileges(cluster: Cluster, namespace: NewNamespace) -> None:
    """Pod Security admission is at work in the tests' namespaces."""
    spec = {"containers": [{"name": "main", "image": archive.BUSYBOX}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bad"}, "spec": spec}
    with pytest.raises(CommandFailed, match="violates PodSecurity"):
        apply(cluster, namespace(), pod)


def test_a_volume_fills_up_grows_and_goes(cluster: Cluster, namespace: NewNamespace) -> None:
    """A pod meets a real ENOSPC, gets more space without a restart, and leaves nothing."""
    name = namespace()
    pod_with_volume(cluster, name, "320Mi")
    execute = ("exec", "-n", name, "writer", "--")
    with pytest.raises(CommandFailed, match="No space left on device"):
        cluster.kubectl(*execute, "dd", "if=/dev/zero", "of=/data/fill", "bs=1M", "count=400")
    patch = json.dumps({"spec": {"resources": {"requests": {"storage": "640Mi"}}}})
    cluster.kubectl("patch", "pvc", "data", "-n", name, "--patch", patch)
    wait(cluster, name, "jsonpath={.status.capacity.storage}=640Mi", "pvc/data")
    cluster.kubectl(*execute, "dd", "if=/dev/zero", "of=/data/fill", "bs=1M", "count=400")
    restarts = "jsonpath={.status.containerStatuses[0].restartCount}"
    assert cluster.kubectl("get", "pod", "writer", "-n", name, "-o", restarts) == "0"
    _gone_with_its_claim(cluster, name)


def _gone_with_its_claim(cluster: Cluster, name: str) -> None:
    volume = cluster.kubectl("get", "pvc", "data", "-n", name, "-o", "jsonpath={.spec.volumeName}")
    layout = provider.layout_of(cluster.name) if cluster.provider == "local" else None
    folder = layout.state / "volumes" if layout else Path("/nonexistent")
    disk = clear.identity(folder / f"{volume}.xfs") if layout else None
    assert disk is None or clear.loops_over({disk})
    cluster.kubectl("delete", "pod/writer", "pvc/data", "-n", name, timeout=SECONDS)
    wait(cluster, name, "delete", f"pv/{volume}")
    if disk:
        assert not list(folder.glob(f"{volume}*"))
        until(lambda: not clear.loops_over({disk}), "the loop device goes", seconds=SECONDS)


def test_a_class_that_does_not_grow_says_so(cluster: Cluster, namespace: NewNamespace) -> None:
    """The second class refuses growth at the API, as many real classes do."""
    if cluster.provider != "local":
        pytest.skip("the class is one of the helper's local nodes")
    name = namespace()
    pod_with_volume(cluster, name, "320Mi", "usage-fixed")
    patch = json.dumps({"spec": {"resources": {"requests": {"storage": "640Mi"}}}})
    with pytest.raises(CommandFailed, match="must support resize"):
        cluster.kubectl("patch", "pvc", "data", "-n", name, "--patch", patch)


def test_pods_find_each_other_and_services_spread(
    cluster: Cluster, namespace: NewNamespace
) -> None:
    """Names resolve in pods, and a Service spreads over all zones, from inside and outside."""
    name = namespace()
    spread = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    volumes = [{"name": "data", "emptyDir": {}}]
    spec = pod_spec(_SERVER, volumes=volumes, topologySpreadConstraints=[spread])
    probe = {"httpGet": {"path": "/index.html", "port": 8080}, "periodSeconds": 1}
    spec["containers"][0]["readinessProbe"] = probe
    template = {"metadata": {"labels": {"app": "web"}}, "spec": spec}
    selector = {"matchLabels": {"app": "web"}}
    web = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": 3, "selector": selector, "template": template},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 8080}]},
    }
    apply(cluster, name, web, service)
    limit = f"--timeout={SECONDS}s"
    cluster.kubectl("rollout", "status", "deployment/web", "-n", name, limit, timeout=SECONDS + 30)
    loop = f"for i in $(seq 60); do wget -qO- {_URL}; done"
    reached: set[str] = set()

    def every_pod_reached() -> bool:
        # A pod that became ready is in the Service about a second later.
        once = cluster.kubectl("exec", "-n", name, "deploy/web", "--", "wget", "-qO-", _URL)
        reached.add(once)
        return len(reached) == 3

    until(every_pod_reached, "all pods are in the Service", seconds=SECONDS)
    inside = Counter(
        cluster.kubectl("exec", "-n", name, "deploy/web", "--", "sh", "-c", loop).split()
    )
    assert len(inside) == 3
    assert sum(inside.values()) == 60
    assert min(inside.values()) >= 5
    port = "jsonpath={.spec.ports[0].nodePort}"
    number = cluster.kubectl("get", "service", "web", "-n", name, "-o", port)
    for zone in cluster.zones:
        url = f"http://{cluster.node_address(zone)}:{number}/"
        # Each node learns of the pods by itself.
        until(lambda url=url: answers(url) == 3, f"{zone} leads to all", seconds=SECONDS)  # type: ignore[misc]


def answers(url: str) -> int:
    """How many pods answer to many requests; none where the node does not lead to one yet."""
    try:
        return len({urlopen(url, timeout=60).read() for _ in range(40)})
    except OSError:
        return 0


def test_the_host_reaches_cluster_ips(cluster: Cluster) -> None:
    """The host reaches Services by their cluster IP: here the API server's own."""
    if cluster.provider != "local":
        pytest.skip("only local nodes are joined to the host's network")
    layout = provider.layout_of(cluster.name)
    assert layout is not None
    server = f"--server=https://{layout.first_service}:443"
    assert cluster.kubectl(server, "get", "--raw", "/readyz") == "ok"


def test_loading_the_wrong_image_is_an_error(cluster: Cluster) -> None:
    """An archive without the image asked for is refused, and loading twice is quick."""
    if cluster.provider != "local":
        pytest.skip("kind does not tell")
    with pytest.raises(KindHelperError, match="does not hold the image"):
        cluster.load(archive.busybox(), "localhost/other:1")
    cluster.load(archive.busybox(), archive.BUSYBOX)
