"""The network of a cluster: namespaces joined by a bridge, and the host's way into it.

The bridge stands in the control plane's namespace, so that the host's own bridges, firewall and
ports are left alone: the root namespace gets one interface and a few routes, no more.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.kind_helper.errors import CommandFailed
from tests.kind_helper.local.layout import CONTROL_PLANE, ZONES, Layout
from tests.kind_helper.run import run

_BRIDGE = "nodes"
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
_INOTIFY_INSTANCES = 1024


def control_plane_commands(layout: Layout) -> list[list[str]]:
    """The commands that make the control plane's namespace, the bridge and the host's link."""
    space = layout.namespace(CONTROL_PLANE)
    prefix = layout.nodes_network.prefixlen
    within = ["ip", "-n", space]
    return [
        ["ip", "netns", "add", space],
        [*within, "link", "set", "lo", "up"],
        # With a fixed address of its own: a bridge otherwise changes it whenever a port joins,
        # and the first connections of a node then hang for most of a minute.
        [*within, "link", "add", _BRIDGE, "address", _mac(layout, 1), "type", "bridge"],
        [*within, "addr", "add", f"{layout.control_plane_address}/{prefix}", "dev", _BRIDGE],
        [*within, "link", "set", _BRIDGE, "up"],
        ["ip", "link", "add", layout.host_link, "type", "veth", "peer", "host", "netns", space],
        [*within, "link", "set", "host", "master", _BRIDGE, "up"],
        ["ip", "addr", "add", f"{layout.host_address}/{prefix}", "dev", layout.host_link],
        ["ip", "link", "set", layout.host_link, "up"],
        _sysctl(space),
    ]


def node_commands(layout: Layout, zone: str) -> list[list[str]]:
    """The commands that make a node's namespace with its routes to the other nodes' pods."""
    space, bridge_space = layout.namespace(zone), layout.namespace(CONTROL_PLANE)
    address = f"{layout.node_address(zone)}/{layout.nodes_network.prefixlen}"
    within = ["ip", "-n", space]
    others = [other for other in ZONES if other != zone]
    return [
        ["ip", "netns", "add", space],
        [*within, "link", "set", "lo", "up"],
        [
            *("ip", "-n", bridge_space, "link", "add", zone, "type", "veth"),
            *("peer", "eth0", "netns", space),
        ],
        ["ip", "-n", bridge_space, "link", "set", zone, "master", _BRIDGE, "up"],
        [*within, "addr", "add", address, "dev", "eth0"],
        [*within, "link", "set", "eth0", "up"],
        [*within, "route", "add", "default", "via", str(layout.control_plane_address)],
        *([*within, *pod_route(layout, other)] for other in others),
        _sysctl(space),
    ]


def pod_route(layout: Layout, zone: str) -> list[str]:
    """The arguments of `ip` that route the pods of a zone by way of its node."""
    return [
        *("route", "replace", str(layout.pods_of(zone))),
        *("via", str(layout.node_address(zone))),
    ]


def service_route(layout: Layout, zones: Sequence[str]) -> list[str]:
    """The arguments of `ip` that route cluster IPs by way of the living nodes' kube-proxies."""
    hops = [word for zone in zones for word in ("nexthop", "via", str(layout.node_address(zone)))]
    return ["route", "replace", str(layout.services_network), *hops]


def _sysctl(space: str) -> list[str]:
    enter = ["nsenter", f"--net=/run/netns/{space}", "--"]
    return [*enter, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]


def _mac(layout: Layout, number: int) -> str:
    return f"02:75:6b:{layout.slot:02x}:00:{number:02x}"


def make_control_plane(layout: Layout) -> None:
    """Make the control plane's namespace; the machine's inotify limit is raised for kubelets."""
    if int(_INOTIFY.read_text()) < _INOTIFY_INSTANCES:
        _INOTIFY.write_text(str(_INOTIFY_INSTANCES))
    for command in control_plane_commands(layout):
        run(command)


def make_node(layout: Layout, zone: str) -> None:
    """Make a node's namespace."""
    for command in node_commands(layout, zone):
        run(command)


def make_routes(layout: Layout, zones: Sequence[str] = ZONES) -> None:
    """Route pods and Services of the living zones from the host and from the control plane."""
    for within in (["ip"], ["ip", "-n", layout.namespace(CONTROL_PLANE)]):
        for zone in zones:
            run([*within, *pod_route(layout, zone)])
        if zones:
            run([*within, *service_route(layout, zones)])


def namespaces(layout: Layout) -> list[str]:
    """The cluster's namespaces that exist."""
    wanted = {layout.namespace(place) for place in (CONTROL_PLANE, *ZONES)}
    return sorted(wanted & {entry.name for entry in Path("/run/netns").glob("uk-*")})


def remove(layout: Layout, places: Sequence[str] = (CONTROL_PLANE, *ZONES)) -> None:
    """Remove the namespaces of these places, and with them their interfaces and routes."""
    # The link first: the kernel takes namespaces down later, and the link's name must be free.
    if CONTROL_PLANE in places:
        _delete_link([], layout.host_link)
    present = namespaces(layout)
    for place in places:
        if layout.namespace(place) in present:
            run(["ip", "netns", "delete", layout.namespace(place)])


def cut(layout: Layout, zone: str) -> None:
    """Take the zone's cable out of the bridge at once: the kernel removes namespaces lazily."""
    _delete_link(["-n", layout.namespace(CONTROL_PLANE)], zone)


@contextmanager
def apart(layout: Layout, zone: str) -> Iterator[None]:
    """Cut the zone's node, which runs on, off from all others as long as the context lasts."""
    cable = ["ip", "-n", layout.namespace(CONTROL_PLANE), "link", "set", zone]
    run([*cable, "down"])
    try:
        yield
    finally:
        run([*cable, "up"])


def _delete_link(within: list[str], name: str) -> None:
    """Delete a link unless it is gone, be it only since a moment ago."""
    if name not in _links(*within):
        return
    try:
        run(["ip", *within, "link", "delete", name])
    except CommandFailed:
        if name in _links(*within):
            raise


def _links(*options: str) -> set[str]:
    return {link["ifname"] for link in json.loads(run(["ip", *options, "-j", "link"]) or "[]")}
