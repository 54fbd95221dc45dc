"""An operator on a control plane of its own: killed, given new kinds, left to one newer or older.

The API server is a real one, and so are the controllers; pods run nowhere, a kubelet of paper says
that they are ready.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.e2e import crds
from tests.kind_helper import choose
from tests.kind_helper.errors import CommandFailed, Unavailable
from tests.kind_helper.fixtures import missing_cluster, namespace_object
from tests.kind_helper.local.provider import Local
from tests.kind_helper.progress import Silent
from tests.kind_helper.run import run, until
from tests.kind_helper.volumes.classes import GROWING
from tests.operator import hollow
from tests.operator.conftest import DEPLOY, Operator, Rights, granted
from tests.operator.live import PATIENCE, Place
from tests.operator.proxy import Proxy
from usage_operator import errors, settings
from usage_operator.kube import Client, from_file
from usage_operator.kube.paths import KINDS
from usage_operator.reconcile import Key, Reconciler

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

NAME, LOST = "plane", "lost"
IMAGE = "localhost/none-such:1"
OLDER = "afd2a50"
"""An operator from before Leases, mirrors and proxies, with the pod template of today.

Name a newer one when the template has to change, and say in CHANGELOG.md that the upgrade restarts
collectors.
"""
ROOT = Path(__file__).parents[2]
DEFINITION = DEPLOY / "crd" / "usagecollectors.yaml"
SELECTOR = {"nodeSelector": hollow.NOWHERE, "storageClassName": hollow.CLASS}
ZONES = [{"name": "a", **SELECTOR}, {"name": "b", **SELECTOR}]
WRITTEN = {one.plural for kind, one in KINDS.items() if kind not in {"Pod", "Event", "Lease"}}
"""Without what controllers and the paper kubelet write all the time."""
READ = {"GET", "LIST", "WATCH", "CONNECT"}
THEIRS = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "classless-a-backup"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
"""A claim of somebody else's, without labels, in a name that backups want."""


def unanswered(namespace: str) -> dict[str, Any]:
    """Give an admission webhook for the StatefulSets of a namespace, where nobody listens."""
    webhook = {
        "name": "unanswered.example.org",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [
            {
                "apiGroups": ["apps"],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["statefulsets"],
            }
        ],
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "unanswered"},
        "webhooks": [webhook],
    }


FIELDS: dict[str, Any] = {
    "zones": ZONES,
    "minReadySeconds": 0,
    "storage": {"storageClassName": hollow.CLASS},
}


def lose_node(place: Place) -> None:
    """Give the cluster a node that was ready once; the controllers miss it after 50 s."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": LOST}}
    place.kubectl("create", "-f", "-", stdin=json.dumps(node))
    ready = json.dumps({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    place.kubectl("patch", "node", LOST, "--subresource=status", "-p", ready)


@pytest.fixture(scope="module")
def plane() -> Iterator[Place]:
    """Give a namespace of a control plane that nobody else uses."""
    try:
        found = choose.provider()
    except Unavailable as error:
        missing_cluster(error.message, os.environ.get("CI") == "true")
        raise
    if not isinstance(found, Local):
        pytest.skip("only a local control plane is killed")
    cluster = found.control_plane(NAME, Silent())
    try:
        cluster.kubectl("apply", "--server-side", "-f", str(DEFINITION))
        crds.established(cluster, "usagecollectors.usage-operator.io")
        cluster.kubectl("create", "-f", "-", input=namespace_object(NAME, "restricted"))
        place = Place(cluster, NAME)
        lose_node(place)
        yield place
    finally:
        found.down(NAME, Silent())


@contextmanager
def pods_run(place: Place) -> Iterator[None]:
    """Let pods be ready, and claims have volumes, for as long as the context lasts."""
    end = threading.Event()

    async def work() -> None:
        async with hollow.Kubelet(from_file(place.cluster.kubeconfig), place.namespace) as kubelet:
            await kubelet.store()
            while not end.is_set():
                # An API server that is away, or that only begins, is asked again.
                with suppress(aiohttp.ClientError, errors.ApiError, AssertionError):
                    await kubelet.bind()
                    await kubelet.look()
                await asyncio.sleep(0.2)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(asyncio.run, work())
        try:
            yield
        finally:
            end.set()
            done.result()


@pytest.fixture
def rights(plane: Place, tmp_path: Path) -> Iterator[Rights]:
    """Let an operator work in the namespace."""
    with granted(plane.cluster, plane.namespace, tmp_path) as rights, pods_run(plane):
        yield rights
        plane.kubectl("delete", "uc", "--all")
        for kind in ("serviceaccount", "role", "rolebinding"):
            plane.kubectl("delete", kind, "--all")


@contextmanager
def running(operator: Operator) -> Iterator[None]:
    """Run it, and end it as the kubelet does; its log tells of no bug."""
    operator.start()
    try:
        yield
        operator.stop()
    finally:
        operator.kill()
    assert "Traceback" not in operator.log.read_text()


def made(place: Place, kind: str) -> bool:
    """Tell whether there is one of a kind that the API server may not know."""
    with suppress(CommandFailed):
        return bool(place.get(kind)["items"])
    return False


def test_an_api_server_that_dies_and_comes_back(
    plane: Place, rights: Rights, tmp_path: Path
) -> None:
    """The operator goes on by itself; kinds that the cluster learns of later are used."""
    operator = Operator(rights, IMAGE, tmp_path / "log", "--resync-seconds=5")
    monitoring = {"podMonitor": True, "rules": True}
    with running(operator):
        plane.apply(monitoring=monitoring, **FIELDS)
        plane.ready()
        assert not made(plane, "podmonitors")
        crds.install(plane.cluster, crds.PROMETHEUS)
        server = Local()
        server.kill_apiserver(NAME)
        until(lambda: "got no answer" in operator.log.read_text(), "it is missed", seconds=PATIENCE)
        server.restart_apiserver(NAME)
        plane.kubectl("delete", "pdb", f"{plane.name}-collector")
        third = {"name": "c", **SELECTOR}
        plane.apply(**FIELDS | {"monitoring": monitoring, "zones": [*ZONES, third]})
        plane.until("the budget is back", lambda: made(plane, "pdb"))
        plane.ready()
        assert len(plane.pods()) == 3
        plane.until("there is a PodMonitor", lambda: made(plane, "podmonitors"))
        plane.until("there are alerts", lambda: made(plane, "prometheusrules"))


@contextmanager
def no_default_class(place: Place) -> Iterator[None]:
    """Let no storage class be the default for as long as the context lasts."""
    mark = "storageclass.kubernetes.io/is-default-class"
    place.kubectl("annotate", "sc", "--all", f"{mark}-")
    try:
        yield
    finally:
        place.kubectl("annotate", "sc", GROWING, f"{mark}=true")


def test_a_storage_class_that_is_named_later(plane: Place, rights: Rights, tmp_path: Path) -> None:
    """Where the cluster has no default, claims that wait for a volume get the class; one that
    waits and is another's is told of by its name.
    """
    plane = replace(plane, name="classless")
    zones = [{"name": "a", "nodeSelector": hollow.NOWHERE}]

    def classes() -> set[str | None]:
        return {one["spec"].get("storageClassName") for one in plane.collectors("pvc")}

    with running(Operator(rights, IMAGE, tmp_path / "log")), no_default_class(plane):
        plane.apply(zones=zones, minReadySeconds=0)
        assert "spec.storage.storageClassName" in plane.reason("Ready", "StorageClassMissing")
        assert classes() == {None}
        plane.apply(zones=zones, minReadySeconds=0, storage={"storageClassName": hollow.CLASS})
        plane.ready()
        assert classes() == {hollow.CLASS}
        plane.kubectl("create", "-f", "-", stdin=json.dumps(THEIRS))
        plane.apply(zones=zones, backup={}, storage={"storageClassName": hollow.CLASS})
        assert "classless-a-backup" in plane.reason("Ready", "NameTaken")


def test_an_admission_webhook_that_does_not_answer(
    plane: Place, rights: Rights, tmp_path: Path
) -> None:
    """What the API server fails over is told in its words, and goes on once that is mended."""
    plane = replace(plane, name="hooked")
    away = json.dumps(unanswered(plane.namespace))
    with running(Operator(rights, IMAGE, tmp_path / "log")):
        plane.kubectl("create", "-f", "-", stdin=away)
        try:
            plane.apply(**FIELDS)
            words = plane.reason("Ready", "ApplyFailed")
        finally:
            plane.kubectl("delete", "-f", "-", stdin=away)
        assert "StatefulSet hooked-a" in words
        assert "unanswered.example.org" in words
        plane.ready()


def asked(place: Place) -> tuple[int, int]:
    """Count, by the API server's own metrics, whole looks at resources and writes so far."""
    text = place.cluster.kubectl("get", "--raw", "/metrics")
    looks = writes = 0
    for line in re.findall(r"^apiserver_request_total(\{.*)$", text, re.MULTILINE):
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
        number = int(float(line.rpartition(" ")[2]))
        if labels["resource"] == "usagecollectors" and labels["verb"] == "GET":
            looks += number
        if labels["resource"] in WRITTEN and labels["verb"] not in READ:
            writes += number
    return looks, writes


def test_a_resync_that_finds_nothing_writes_nothing(
    plane: Place, rights: Rights, tmp_path: Path
) -> None:
    """The API server counts no write while everything is looked at again and again."""
    plane = replace(plane, name="quiet")
    operator = Operator(rights, IMAGE, tmp_path / "log", "--resync-seconds=1")
    with running(operator):
        plane.apply(**FIELDS)
        plane.ready()

        def quiet() -> bool:
            looks, writes = asked(plane)
            until(lambda: asked(plane)[0] >= looks + 3, "three looks", seconds=PATIENCE)
            return asked(plane)[1] == writes

        # What was written last before it was Ready may still be under way.
        plane.until("nothing is written", quiet)
        assert asked(plane)[1] > 20


def older(folder: Path) -> Path:
    """Take the operator and its definition as they were out of the history."""
    if subprocess.run(["git", "cat-file", "-e", OLDER], cwd=ROOT, check=False).returncode:
        pytest.skip(f"{OLDER} is not here: git fetch --unshallow brings the whole history")
    packed = folder / "older.tar"
    words = [
        "git",
        "archive",
        f"--output={packed}",
        OLDER,
        "operator",
        DEFINITION.relative_to(ROOT),
    ]
    run(words, cwd=ROOT)
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    return folder


def define(place: Place, root: Path) -> None:
    """Bring the definition to what it is in a tree, as an upgrade of the chart does."""
    file = root / DEFINITION.relative_to(ROOT)
    place.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(file))


def collectors(place: Place) -> dict[str, Any]:
    """Give the uids of the pods, and what StatefulSets make pods from."""
    templates = {
        one["metadata"]["name"]: (one["metadata"]["uid"], one["spec"]["template"])
        for one in place.collectors("sts")
    }
    return place.pods() | templates


def uids(place: Place) -> dict[str, str]:
    """Give the uid of each collector's claim."""
    return {one["metadata"]["name"]: one["metadata"]["uid"] for one in place.collectors("pvc")}


@pytest.fixture
def before(rights: Rights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """Give the operator of long ago; its definition is below ``tmp_path``, too."""
    with monkeypatch.context() as old:
        old.setenv("PYTHONPATH", str(older(tmp_path) / "operator"))
        ask = [sys.executable, "-c", "import usage_operator; print(usage_operator.__file__)"]
        assert str(tmp_path) in subprocess.check_output(ask, text=True)
        return Operator(rights, IMAGE, tmp_path / "before")


def test_a_newer_operator_restarts_nothing(
    plane: Place, rights: Rights, before: Operator, tmp_path: Path
) -> None:
    """What an operator of long ago made is taken over by that of today, pods and all."""
    # Not the name of the test before, whose volumes would be found again.
    plane = replace(plane, name="upgraded")
    define(plane, tmp_path)
    with running(before):
        plane.apply(**FIELDS)
        plane.ready()
        found = collectors(plane)
        assert len(plane.pods()) == 2
    define(plane, ROOT)
    after = Operator(rights, IMAGE, tmp_path / "after")
    with running(after):
        plane.kubectl("delete", "pdb", f"{plane.name}-collector")
        plane.until("the newer one works", lambda: made(plane, "pdb"))
        # A change that is none of the pods' tells that it looked at everything, and is content.
        plane.apply(**FIELDS, export={"at": "05:00"})
        plane.ready()
    assert collectors(plane) == found


def grow_halfway(place: Place) -> None:
    """Let operators that are killed at each write grow volumes, until a StatefulSet is gone."""

    def whole() -> bool:
        """Tell whether none is gone or about to go: the next operator would make it anew."""
        there = place.collectors("sts")
        going = any("deletionTimestamp" in one["metadata"] for one in there)
        return len(there) == len(ZONES) and not going

    async def run() -> None:
        key, access = Key(place.namespace, place.name), from_file(place.cluster.kubeconfig)
        own = settings.Settings(collector_image=IMAGE, probe=False)
        async with Proxy(access) as proxy, asyncio.timeout(PATIENCE):
            while whole():
                proxy.begin(cut=1)
                async with Client(proxy.access) as client:
                    with suppress(errors.ApiUnavailable, errors.Conflict):
                        await Reconciler(client, own)(key)

    asyncio.run(run())


def test_an_operator_that_is_rolled_back_while_volumes_grow(
    plane: Place, rights: Rights, before: Operator, tmp_path: Path
) -> None:
    """What today's began, an operator of long ago completes: claims and pods are the same."""
    plane = replace(plane, name="rolledback")
    sizes = [{"storageClassName": hollow.CLASS, "size": size} for size in ("1Gi", "2Gi")]
    with running(Operator(rights, IMAGE, tmp_path / "today")):
        plane.apply(**FIELDS | {"storage": sizes[0]})
        plane.ready()
    pods, claims = plane.pods(), uids(plane)
    plane.apply(**FIELDS | {"storage": sizes[1]})
    grow_halfway(plane)
    define(plane, tmp_path)
    with running(before):
        plane.ready()
    define(plane, ROOT)
    assert (plane.pods(), uids(plane)) == (pods, claims)
    wanted = [one["spec"]["volumeClaimTemplates"][0] for one in plane.collectors("sts")]
    for one in (*wanted, *plane.collectors("pvc")):
        assert one["spec"]["resources"]["requests"]["storage"] == "2Gi"


def bind(place: Place, pod: str) -> None:
    """Let a pod run on the lost node, its containers ready: what its kubelet said last."""
    where = f"/api/v1/namespaces/{place.namespace}/pods/{pod}/binding"
    target = {"apiVersion": "v1", "kind": "Node", "name": LOST}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": target}
    said = {"status": {"conditions": [{"type": "ContainersReady", "status": "True"}]}}
    # Before it is bound: then the controllers say at once that the pod is not ready.
    place.kubectl("patch", "pod", pod, "--subresource=status", "-p", json.dumps(said))
    place.kubectl("create", "--raw", where, "-f", "-", stdin=json.dumps(binding))


def test_a_node_that_falls_silent(plane: Place, rights: Rights, tmp_path: Path) -> None:
    """The status names the collector on it, the node and the remedy; the others serve on."""
    # The last of these tests: by then the controllers have missed the node.
    plane = replace(plane, name="silent")
    with running(Operator(rights, IMAGE, tmp_path / "log")):
        plane.apply(**FIELDS)
        plane.ready()
        pods = plane.pods()
        bind(plane, "silent-a-0")
        words = plane.reason("Ready", "PodsNotReady", "silent-a-0: its node does not answer")
        assert f"kubectl delete node {LOST}" in words
        assert {zone["name"]: zone["ready"] for zone in plane.status()["zones"]} == {"a": 0, "b": 1}
        assert plane.pods() == pods
