"""An operator that runs as a process with exactly the rights of deploy/base/role.yaml."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.kind_helper import images
from tests.operator.live import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.kind_helper.cluster import Cluster

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture(scope="session")
def definition(cluster: Cluster) -> Cluster:
    """Give the cluster with the resource's definition and the delete warning."""
    for file in ("crd/usagecollectors.yaml", "base/delete-warning.yaml"):
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(DEPLOY / file))
    cluster.kubectl("wait", "--for=condition=Established", "crd/usagecollectors.usage-operator.io")
    return cluster


@pytest.fixture(scope="session")
def collector_image(cluster: Cluster) -> str:
    """Give the collector's image, built from this working tree, on every node."""
    name = images.reference("collector")
    cluster.load(images.build_all()[name], name)
    return name


@dataclass(frozen=True)
class Rights:
    """A service account's kubeconfig, and what has to be taken away again."""

    kubeconfig: Path
    cluster_wide: list[str]


def _grant(cluster: Cluster, namespace: str, folder: Path) -> Rights:
    """Make a service account in the namespace that may do what the operator's roles allow."""
    account = f"system:serviceaccount:{namespace}:operator"
    cluster.kubectl("create", "serviceaccount", "operator", "-n", namespace)
    made = []
    for role in yaml.safe_load_all((DEPLOY / "base" / "role.yaml").read_text()):
        name = f"{role['metadata']['name']}-{namespace}"
        kind = "clusterrolebinding" if name.startswith("usage-operator-cluster") else "rolebinding"
        role["metadata"]["name"] = name
        cluster.kubectl("create", "-f", "-", input=json.dumps(role))
        made.append(f"clusterrole/{name}")
        where = ["-n", namespace] if kind == "rolebinding" else []
        cluster.kubectl(
            *("create", kind, name, f"--clusterrole={name}", f"--user={account}", *where)
        )
        if not where:
            made.append(f"{kind}/{name}")
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


@contextmanager
def _running(rights: Rights, image: str, log: Path) -> Iterator[Callable[[], None]]:
    """Run the operator; gives a function that ends it and checks that it ended well."""
    environment = os.environ | {"KUBECONFIG": str(rights.kubeconfig)}
    command = [sys.executable, "-m", "usage_operator", "run", "--http-port=0"]
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, f"--collector-image={image}"], env=environment, stderr=file
        )

    def stop() -> None:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0, log.read_text()

    try:
        yield stop
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def bare(definition: Cluster, namespace: Callable[..., str]) -> Place:
    """Give a namespace at the restricted level without an operator."""
    return Place(definition, namespace(), lambda: None)


@pytest.fixture
def place(
    bare: Place, collector_image: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Place]:
    """Give a namespace at the restricted level, served by an operator of its own."""
    rights = _grant(bare.cluster, bare.namespace, tmp_path)
    log = tmp_path / "operator.log"
    try:
        with _running(rights, collector_image, log) as stop:
            yield Place(bare.cluster, bare.namespace, stop)
    finally:
        for one in rights.cluster_wide:
            bare.cluster.kubectl("delete", one, "--wait=false")
    problems = [line for line in log.read_text().splitlines() if _is_problem(line)]
    assert not problems, problems


def _is_problem(line: str) -> bool:
    """Tell whether a log line speaks of a bug: an exception, or a missing right.

    When a namespace is on its way out, nothing can be made in it, which is no missing right.
    """
    return bool(re.search(r"Traceback| ERROR |cannot \w+ resource", line))
