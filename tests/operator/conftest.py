"""An operator that runs as a process with exactly the rights of deploy/base/role.yaml."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.e2e import crds
from tests.kind_helper import engines, images
from tests.kind_helper.fixtures import namespace_name, namespace_object
from tests.kind_helper.run import until
from tests.operator.live import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.kind_helper.cluster import Cluster

DEPLOY = Path(__file__).parents[2] / "deploy"
HAPROXY = Path(__file__).parents[1] / "e2e" / "proxy.Containerfile"


@pytest.fixture(scope="session")
def definition(cluster: Cluster) -> Cluster:
    """Give the cluster with the resource's definition and the delete warning."""
    for file in ("crd/usagecollectors.yaml", "base/delete-warning.yaml"):
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(DEPLOY / file))
    crds.established(cluster, "usagecollectors.usage-operator.io")
    return cluster


@pytest.fixture(scope="session")
def collector_image(cluster: Cluster) -> str:
    """Give the collector's image, built from this working tree, on every node."""
    name = images.reference("collector")
    cluster.load(images.build_all()[name], name)
    return name


@pytest.fixture
def proxy_image(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let operators use a proxy's image that is on every node; USAGE_TEST_PROXY_IMAGE names one."""
    name = os.environ.get("USAGE_TEST_PROXY_IMAGE", images.reference("proxy"))
    if "USAGE_TEST_PROXY_IMAGE" not in os.environ:
        base = None if engines.running_engine() else images.base_image()
        cluster.load(images.build(HAPROXY, name, base, inputs=()), name)
    monkeypatch.setenv("USAGE_OPERATOR_PROXY_IMAGE", name)
    return name


@dataclass(frozen=True)
class Rights:
    """A service account's kubeconfig, and what has to be taken away again."""

    kubeconfig: Path
    cluster_wide: list[str]


def _grant(cluster: Cluster, namespace: str, folder: Path, *, everywhere: bool) -> Rights:
    """Make a service account in the namespace that may do what the operator's roles allow."""
    account = f"system:serviceaccount:{namespace}:operator"
    cluster.kubectl("create", "serviceaccount", "operator", "-n", namespace)
    made = []
    for role in yaml.safe_load_all((DEPLOY / "base" / "role.yaml").read_text()):
        name = f"{role['metadata']['name']}-{namespace}"
        wide = everywhere or name.startswith("usage-operator-cluster")
        kind = "clusterrolebinding" if wide else "rolebinding"
        role["metadata"]["name"] = name
        cluster.kubectl("create", "-f", "-", input=json.dumps(role))
        made.append(f"clusterrole/{name}")
        where = ["-n", namespace] if kind == "rolebinding" else []
        cluster.kubectl(
            *("create", kind, name, f"--clusterrole={name}", f"--user={account}", *where)
        )
        if not where:
            made.append(f"{kind}/{name}")
    lease = next(yaml.safe_load_all((DEPLOY / "base" / "leader.yaml").read_text()))
    lease["metadata"]["namespace"] = namespace
    cluster.kubectl("create", "-f", "-", input=json.dumps(lease))
    cluster.kubectl(
        *("create", "rolebinding", "leader", "-n", namespace, f"--user={account}"),
        f"--role={lease['metadata']['name']}",
    )
    _in_force(cluster, namespace, account)
    token = cluster.kubectl("create", "token", "operator", "-n", namespace).strip()
    admin = yaml.safe_load(cluster.kubeconfig.read_text())
    chosen = cluster.context or admin["current-context"]
    (context,) = (one for one in admin["contexts"] if one["name"] == chosen)
    context["context"] |= {"user": "operator", "namespace": namespace}
    document = admin | {
        "users": [{"name": "operator", "user": {"token": token}}],
        "current-context": chosen,
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(document))
    return Rights(file, made)


def _in_force(cluster: Cluster, namespace: str, account: str) -> None:
    """Wait until the API server knows the bindings by its own watches: an operator asks once."""
    rules = ("auth", "can-i", "--list", f"--as={account}", "-n", namespace)

    def known() -> bool:
        told = cluster.kubectl(*rules)
        return all(kind in told for kind in ("usagecollectors", "storageclasses", "leases"))

    until(known, "the operator's rights are in force", seconds=60)


@contextmanager
def granted(
    cluster: Cluster, namespace: str, folder: Path, *, everywhere: bool = False
) -> Iterator[Rights]:
    """Give an operator's rights in a namespace or in all; take away again what is cluster-wide."""
    rights = _grant(cluster, namespace, folder, everywhere=everywhere)
    try:
        yield rights
    finally:
        for one in rights.cluster_wide:
            cluster.kubectl("delete", one, "--wait=false")


class Operator:
    """The operator as a process, which can be ended and started again."""

    def __init__(self, rights: Rights, image: str, log: Path, *flags: str) -> None:
        self.log = log
        self._environment = os.environ | {"KUBECONFIG": str(rights.kubeconfig)}
        command = [sys.executable, "-m", "usage_operator", "run", "--http-port=0"]
        self._command = [*command, f"--collector-image={image}", *flags]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it."""
        with self.log.open("a") as file:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stderr=file, text=True
            )

    def stop(self) -> None:
        """End it as the kubelet does, and check that it ended well."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(timeout=120) == 0, self.log.read_text()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, timeout: float) -> int:
        """Wait for its end; give its exit code."""
        assert self._process is not None
        return self._process.wait(timeout)

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def _served(cluster: Cluster, namespace: str, image: str, folder: Path) -> Iterator[Operator]:
    """Run an operator for a namespace; its log must tell of no bug."""
    with granted(cluster, namespace, folder) as rights:
        operator = Operator(rights, image, folder / "operator.log")
        operator.start()
        try:
            yield operator
        finally:
            operator.kill()
    problems = _problems(cluster, namespace, operator.log.read_text())
    assert not problems, problems


@pytest.fixture
def bare(definition: Cluster, namespace: Callable[..., str]) -> Place:
    """Give a namespace at the restricted level without an operator."""
    return Place(definition, namespace())


@pytest.fixture
def alone(bare: Place, collector_image: str, tmp_path: Path) -> Iterator[Place]:
    """Give a namespace with an operator that no other test needs."""
    with _served(bare.cluster, bare.namespace, collector_image, tmp_path) as operator:
        yield replace(bare, stop=operator.stop, start=operator.start)


@pytest.fixture(scope="module")
def common(
    definition: Cluster,
    collector_image: str,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Place]:
    """Give a namespace at the restricted level, served by an operator, for a file of tests."""
    name = namespace_name(request.module.__name__.rpartition(".")[2], secrets.token_hex(3))
    definition.kubectl("create", "-f", "-", input=namespace_object(name, "restricted"))
    try:
        folder = tmp_path_factory.mktemp("operator")
        with _served(definition, name, collector_image, folder):
            yield Place(definition, name)
    finally:
        definition.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def place(common: Place) -> Iterator[Place]:
    """Give a name of a resource that no other test uses; it goes with the test."""
    place = replace(common, name=f"s{secrets.token_hex(3)}")
    yield place
    place.kubectl("delete", "uc", place.name, "--ignore-not-found", "--wait=false")


def _problems(cluster: Cluster, namespace: str, log: str) -> list[str]:
    """Give the log lines that speak of a bug: an exception, or a missing right.

    When a namespace goes, the rights in it go too, and nothing can be made in it: no bug. Nor is it
    one that kopf did not get an answer at once.
    """
    there = cluster.kubectl(
        *("get", "namespace", namespace, "--ignore-not-found"),
        *("-o", "jsonpath={.status.phase}"),
    )
    stays = there == "Active"
    pattern = "Traceback| ERROR " + (r"|cannot \w+ resource" if stays else "")
    lines = [line for line in log.splitlines() if "failed; will retry" not in line]
    return [line for line in lines if re.search(pattern, line)]
