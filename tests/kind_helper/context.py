"""The cluster of a kubeconfig context that the user names; never the current one unasked."""

import json
from dataclasses import dataclass
from pathlib import Path

from tests.kind_helper import binaries, versions
from tests.kind_helper.cluster import Cluster
from tests.kind_helper.errors import CommandFailed, KindHelperError
from tests.kind_helper.progress import Progress
from tests.kind_helper.run import run

_ZONE = "topology.kubernetes.io/zone"


def kubeconfig_file(environment: str | None, home: Path) -> Path:
    """The file to look in: the first of KUBECONFIG, or the one in the home folder."""
    named = [name for name in (environment or "").split(":") if name]
    return Path(named[0]) if named else home / ".kube" / "config"


def zones(nodes: str) -> dict[str, str]:
    """The first node of each zone, from a node list in JSON, sorted by zone."""
    found: dict[str, str] = {}
    for item in json.loads(nodes)["items"]:
        zone = item["metadata"].get("labels", {}).get(_ZONE)
        if zone:
            found.setdefault(zone, item["metadata"]["name"])
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class Context:
    """A cluster that somebody else runs: used, but neither started nor taken down."""

    context: str
    kubeconfig: Path
    kind: str = "context"

    def up(self, name: str, progress: Progress) -> Cluster:
        """See that the cluster answers and has zones. Raises `KindHelperError` otherwise."""
        tools = [part for part in versions.PARTS if part.name in ("kubectl", "helm")]
        binaries.build(tools, progress)
        return self.find(name)

    def down(self, name: str, progress: Progress) -> None:
        """Leave the cluster alone."""
        progress.note(f"the cluster of the context {self.context} is not ours: left as it is")

    def find(self, name: str) -> Cluster:
        """The cluster. Raises `KindHelperError` when it does not answer or has no zones."""
        kubectl = [binaries.program("kubectl"), f"--kubeconfig={self.kubeconfig}"]
        nodes = [*kubectl, "--context", self.context, "get", "nodes", "-o", "json"]
        try:
            found = zones(run(nodes, timeout=30))
        except CommandFailed as error:
            raise KindHelperError(
                f"the cluster of the context {self.context!r} does not answer: {error.message}",
                f"Look at `kubectl --context {self.context} get nodes`.",
            ) from None
        if not found:
            raise KindHelperError(
                f"no node of the context {self.context!r} has a zone",
                f"Label nodes with {_ZONE}=….",
            )
        return Cluster(name, self.kubeconfig, found, self, self.context)

    def load(self, cluster: Cluster, archive: Path, image: str) -> None:
        """Not possible from outside: push the image where the cluster can pull it."""
        raise KindHelperError(
            f"{image} cannot be loaded into a cluster that is not the helper's",
            "Push it to a registry of that cluster and name it in the chart's values.",
        )

    def address(self, cluster: Cluster, zone: str) -> str:
        """The internal IP address of the zone's node."""
        node = json.loads(cluster.kubectl("get", "node", cluster.zones[zone], "-o", "json"))
        addresses = {item["type"]: item["address"] for item in node["status"]["addresses"]}
        return str(addresses["InternalIP"])

    def kill_node(self, cluster: Cluster, zone: str) -> None:
        """Never done to a cluster that is not ours."""
        raise KindHelperError("nodes of a foreign cluster are not killed", "Use local nodes.")

    def restart_node(self, cluster: Cluster, zone: str) -> None:
        """Never done to a cluster that is not ours."""
        raise KindHelperError("nodes of a foreign cluster are not restarted", "Use local nodes.")
