"""The product, installed once for all tests of the whole way."""

from collections.abc import Iterator

import pytest

from tests.e2e.system import System, load_images
from tests.kind_helper.cluster import Cluster


@pytest.fixture(scope="session")
def loaded(cluster: Cluster) -> Cluster:
    """The cluster with both images of this working tree."""
    load_images(cluster)
    return cluster


@pytest.fixture(scope="module")
def system(loaded: Cluster, request: pytest.FixtureRequest) -> Iterator[System]:
    """A fresh namespace with the operator, installed with the chart."""
    name = request.module.__name__.rsplit(".", 1)[-1].removeprefix("test_").replace("_", "-")
    system = System(loaded, f"e2e-{name}")
    system.remove()
    system.create_namespace()
    system.install()
    yield system
    system.remove()
