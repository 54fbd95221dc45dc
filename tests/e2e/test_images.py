"""What is in the images, and what is not."""

import json
from collections.abc import Callable

import pytest

from tests.e2e.system import COLLECTOR, OPERATOR, System, pod
from tests.kind_helper.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

_LOOK = """
import importlib.util, json, os, shutil
def writable(path):
    try:
        open(os.path.join(path, "probe"), "w").close()
    except OSError:
        return False
    return True
known = importlib.util.find_spec
print(json.dumps({
    "user": os.getuid(),
    "tools": [name for name in ("gcc", "make", "pip", "pip3", "git", "curl") if shutil.which(name)],
    "modules": [name for name in ("kopf", "apsw", "pip", "pytest") if known(name)],
    "writable": [path for path in ("/", "/opt/usage", "/tmp") if writable(path)],
}))
"""


@pytest.mark.parametrize(("image", "own"), [(COLLECTOR, "apsw"), (OPERATOR, "kopf")])
def test_an_image_holds_one_extra_and_no_tools(
    loaded: Cluster, namespace: Callable[[], str], image: str, own: str
) -> None:
    """Each image runs as nobody on a read-only root, with its own packages and no build tools."""
    spec = pod(["python3", "-c", _LOOK])
    spec["containers"][0]["image"] = image
    found = json.loads(System(loaded, namespace()).run("look", spec))
    assert found == {"user": 65532, "tools": [], "modules": [own], "writable": []}
