"""pytest fixtures: a cluster for the session, and namespaces that enforce `restricted`.

Use them with `pytest_plugins = ["tests.kind_helper.fixtures"]` in the tests' top conftest.
"""

import json
import os
import re
import secrets
from collections.abc import Callable, Iterator

import pytest

from tests.kind_helper import choose
from tests.kind_helper.cluster import Cluster
from tests.kind_helper.errors import Unavailable
from tests.kind_helper.progress import Plain

DOWN_VARIABLE = "USAGE_CLUSTER_DOWN"
_FIRST_TIMEOUT = 2400
"""Seconds for the first test of a session: it may have to build the programs."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the first test that needs the cluster the time that its start may take."""
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(_FIRST_TIMEOUT), append=False)
            return


def missing_cluster(reason: str, ci: bool) -> None:
    """Skip with the reason in one line; in CI a cluster must be there, so fail instead."""
    if ci:
        pytest.fail(f"CI needs a cluster: {reason}", pytrace=False)
    pytest.skip(reason)


def namespace_object(name: str, level: str) -> str:
    """A namespace that enforces a Pod Security level, as JSON."""
    labels = {"pod-security.kubernetes.io/enforce": level, "usage-operator.io/test": "true"}
    metadata = {"name": name, "labels": labels}
    return json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


def namespace_name(prefix: str, unique: str) -> str:
    """A valid name made of anything, such as a test's name, and something unique."""
    plain = re.sub(r"[^a-z0-9]+", "-", prefix.lower()).strip("-")[:40].strip("-")
    return f"{plain or 'test'}-{unique}"


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The session's cluster; it stays up afterwards unless USAGE_CLUSTER_DOWN=1."""
    terminal = request.config.pluginmanager.getplugin("terminalreporter")
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def write(line: str) -> None:
        if terminal and capture:
            with capture.global_and_fixture_disabled():
                terminal.write_line(line)

    try:
        up = choose.up(progress=Plain(write))
    except Unavailable as error:
        missing_cluster(error.message, os.environ.get("CI") == "true")
        raise
    yield up
    if os.environ.get(DOWN_VARIABLE) == "1":
        choose.down(up.name, up.context)


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """Makes namespaces of unique names, which go with the test: `namespace()` gives a name.

    `namespace(level="baseline")` enforces another Pod Security level than `restricted`.
    """
    made: list[str] = []

    def make(level: str = "restricted") -> str:
        name = namespace_name(request.node.name, secrets.token_hex(3))
        cluster.kubectl("create", "-f", "-", input=namespace_object(name, level))
        made.append(name)
        cluster.kubectl(
            *("wait", "--for=create", "serviceaccount/default", "-n", name, "--timeout=240s")
        )
        return name

    yield make
    for name in made:
        cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")
