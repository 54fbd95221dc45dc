"""The project's kind-helper: a real Kubernetes with three zones for tests and the demo.

`up()` gives a `Cluster`, from the context that the user names, by kind where an engine runs, or
from local nodes; `down()` removes it. `python -m tests.kind_helper --help` has the same verbs.
"""

from tests.kind_helper.choose import down, find, kubeconfig, load, up
from tests.kind_helper.cluster import Cluster
from tests.kind_helper.errors import CommandFailed, KindHelperError, Unavailable

__all__ = [
    "Cluster",
    "CommandFailed",
    "KindHelperError",
    "Unavailable",
    "down",
    "find",
    "kubeconfig",
    "load",
    "up",
]
