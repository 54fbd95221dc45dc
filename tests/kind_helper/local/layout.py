"""Where a local cluster lives: folders, names and addresses, all derived from name and slot.

Clusters stand beside each other: each takes a slot, and each slot has address ranges of its own.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from tests.kind_helper import paths
from tests.kind_helper.errors import KindHelperError

ZONES = ("eu-1a", "eu-1b", "eu-1c")
SLOTS = 16
CONTROL_PLANE = "cp"
_NAME = re.compile(r"[a-z][a-z0-9]{0,10}")


def check_name(name: str) -> str:
    """The name itself. Raises `KindHelperError` when it cannot be a local cluster's."""
    if not _NAME.fullmatch(name):
        raise KindHelperError(
            f"{name!r} cannot be the name of a local cluster",
            "Use 1 to 11 small letters and digits, a letter first: interface names are short.",
        )
    return name


@dataclass(frozen=True)
class Layout:
    """One cluster's folders, names and addresses."""

    name: str
    slot: int = 0
    root: Path = paths.STATE_ROOT

    @property
    def state(self) -> Path:
        """The folder with everything of this cluster; its path marks the processes as its own."""
        return self.root / self.name

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.state / "admin.kubeconfig"

    @property
    def cgroup(self) -> str:
        """The control group above all pods, as a path from the root of each hierarchy."""
        return f"/usage-kind-{self.name}"

    @property
    def host_link(self) -> str:
        """The interface in the root namespace that leads to the cluster."""
        return f"uk-{self.name}"

    def namespace(self, place: str) -> str:
        """The network namespace of a zone's node, or of the control plane."""
        return f"uk-{self.name}-{place}"

    def namespace_path(self, place: str) -> Path:
        """Where `nsenter --net` finds the namespace."""
        return Path("/run/netns") / self.namespace(place)

    def node(self, zone: str) -> str:
        """The name of the zone's node."""
        return f"{self.name}-{zone}"

    def node_folder(self, zone: str) -> Path:
        """The folder of the zone's containerd and kubelet."""
        return self.state / "nodes" / zone

    def containerd_socket(self, zone: str) -> Path:
        """Where the node's containerd listens."""
        return self.node_folder(zone) / "containerd.sock"

    @property
    def nodes_network(self) -> IPv4Network:
        """The network of the bridge that joins the nodes."""
        return IPv4Network(f"10.88.{self.slot}.0/24")

    @property
    def pods_network(self) -> IPv4Network:
        """All pods of the cluster."""
        return IPv4Network(f"10.{144 + self.slot}.0.0/16")

    @property
    def services_network(self) -> IPv4Network:
        """The cluster IPs of all Services: more than 4,000 resources need."""
        return IPv4Network(f"10.{112 + self.slot // 4}.{self.slot % 4 * 64}.0/18")

    @property
    def control_plane_address(self) -> IPv4Address:
        """The bridge's address: the API server and the cluster's DNS."""
        return self.nodes_network[1]

    @property
    def host_address(self) -> IPv4Address:
        """The root namespace's address in the nodes' network."""
        return self.nodes_network[254]

    @property
    def first_service(self) -> IPv4Address:
        """The cluster IP of the API server."""
        return self.services_network[1]

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return f"https://{self.control_plane_address}:6443"

    def node_address(self, zone: str) -> IPv4Address:
        """The address of the zone's node, which NodePorts answer on."""
        return self.nodes_network[11 + ZONES.index(zone)]

    def pods_of(self, zone: str) -> IPv4Network:
        """The pods of the zone's node."""
        return list(self.pods_network.subnets(new_prefix=24))[1 + ZONES.index(zone)]

    @property
    def networks(self) -> tuple[IPv4Network, ...]:
        """Every range that the cluster takes."""
        return (self.nodes_network, self.pods_network, self.services_network)


def free_slot(name: str, taken: Iterable[int], routed: Iterable[IPv4Network]) -> int:
    """The lowest slot that no other cluster has and whose ranges the machine does not route.

    Raises `KindHelperError` when there is none.
    """
    occupied, foreign = set(taken), list(routed)
    for slot in range(SLOTS):
        ours = Layout(name, slot).networks
        if slot not in occupied and not any(a.overlaps(b) for a in ours for b in foreign):
            return slot
    raise KindHelperError(
        "no free address range for the nodes in 10.88.0.0/16, 10.112.0.0/16 and 10.144.0.0/12",
        "Take down other clusters (`python -m tests.kind_helper down --name …`).",
    )


def routed_networks(listing: str) -> list[IPv4Network]:
    """The destinations in what `ip -4 route` prints, without the default route."""
    words = (line.split()[0] for line in listing.splitlines() if line.strip())
    return [
        IPv4Network(word, strict=False)
        for word in words
        if re.fullmatch(r"[0-9.]+(/[0-9]+)?", word)
    ]
