"""NetworkPolicies as packet filters of pods, for nodes whose network enforces none.

Each pod that a policy selects gets rules in its own network namespace, as the API defines them:
https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.kind_helper.local import start
from tests.kind_helper.local.provider import layout_of
from tests.kind_helper.run import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.kind_helper.cluster import Cluster

Object = dict[str, Any]

_ANY = "0.0.0.0/0"


class World(NamedTuple):
    """The pods there are, the labels of each namespace, and the policies."""

    pods: list[Object]
    namespaces: Mapping[str, Mapping[str, str]]
    policies: list[Object]


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Tell whether a label selector means something with these labels; an empty one means all."""
    for one in selector.get("matchExpressions") or []:
        there = labels.get(one["key"])
        means = {
            "In": there in one.get("values", []),
            "NotIn": there not in one.get("values", []),
            "Exists": there is not None,
            "DoesNotExist": there is None,
        }
        if not means[one["operator"]]:
            return False
    return (selector.get("matchLabels") or {}).items() <= labels.items()


def _addresses(world: World, namespace: str, peers: list[Object] | None) -> Iterator[str]:
    """Give the addresses of a rule's peers; none named means everybody."""
    if not peers:
        yield _ANY
    for peer in peers or []:
        for pod in world.pods:
            where = pod["metadata"]["namespace"]
            chosen = peer.get("namespaceSelector")
            near = (
                where == namespace if chosen is None else selects(chosen, world.namespaces[where])
            )
            if near and selects(peer.get("podSelector", {}), pod["metadata"].get("labels") or {}):
                yield pod["status"]["podIP"]


def _ports(ports: list[Object] | None, pod: Object) -> Iterator[list[str]]:
    """Give what a rule says of ports; names are those of the pod's containers."""
    known = {
        one.get("name"): one["containerPort"]
        for container in pod["spec"]["containers"]
        for one in container.get("ports") or []
    }
    if not ports:
        yield []
    for one in ports or []:
        number = known.get(one["port"], one["port"])
        yield ["-p", one.get("protocol", "TCP").lower(), "--dport", str(number)]


def _chain(world: World, pod: Object, chain: str, bound: list[Object]) -> Iterator[str]:
    """Give the rules of one chain: what the policies allow, and that all else is refused."""
    direction, ends = ("ingress", ("from", "-s")) if chain == "INPUT" else ("egress", ("to", "-d"))
    for policy in bound:
        for rule in policy.get(direction) or []:
            for address in _addresses(world, pod["metadata"]["namespace"], rule.get(ends[0])):
                for port in _ports(rule.get("ports"), pod):
                    yield " ".join(["-A", chain, ends[1], address, *port, "-j ACCEPT"])
    yield f"-A {chain} -p tcp -j REJECT --reject-with tcp-reset"
    yield f"-A {chain} -j DROP"


def rules(world: World, pod: Object, node: str) -> str:
    """Give the input of iptables-restore for a pod; ``node`` is its node's address on its side."""
    namespace, labels = pod["metadata"]["namespace"], pod["metadata"].get("labels") or {}
    ours = [
        one["spec"]
        for one in world.policies
        if one["metadata"]["namespace"] == namespace and selects(one["spec"]["podSelector"], labels)
    ]
    lines = ["*filter", ":INPUT ACCEPT", ":OUTPUT ACCEPT", "-A INPUT -i lo -j ACCEPT"]
    # A node may always reach its pods: the kubelet asks how they are.
    lines += ["-A OUTPUT -o lo -j ACCEPT", f"-A INPUT -s {node} -j ACCEPT"]
    for chain, kind in (("INPUT", "Ingress"), ("OUTPUT", "Egress")):
        lines.append(f"-A {chain} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT")
        if bound := [one for one in ours if kind in one["policyTypes"]]:
            lines += _chain(world, pod, chain, bound)
    return "\n".join([*lines, "COMMIT", ""])


def enforce(cluster: Cluster, *places: str) -> None:
    """Enforce all policies of these namespaces, for the pods that are there now."""

    def listed(kind: str, namespace: str) -> list[Object]:
        found: list[Object] = json.loads(
            cluster.kubectl("get", kind, "-n", namespace, "-o", "json")
        )["items"]
        return found

    world = World(
        [
            pod
            for place in places
            for pod in listed("pods", place)
            if pod["status"].get("phase") == "Running"
        ],
        {
            place: json.loads(cluster.kubectl("get", "namespace", place, "-o", "json"))["metadata"][
                "labels"
            ]
            for place in places
        },
        [policy for place in places for policy in listed("networkpolicies", place)],
    )
    for pod in world.pods:
        _filter(cluster, pod, world)


def _filter(cluster: Cluster, pod: Object, world: World) -> None:
    """Give a pod its rules."""
    layout = layout_of(cluster.name)
    assert layout is not None
    (zone,) = (zone for zone, node in cluster.zones.items() if node == pod["spec"]["nodeName"])
    container = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
    listing = run(start.ctr(layout, zone, "tasks", "ls")).splitlines()
    (process,) = (line.split()[1] for line in listing if line.startswith(container))
    gateway = str(next(layout.pods_of(zone).hosts()))
    enter = ["nsenter", f"--net=/proc/{process}/ns/net", "--", "iptables-restore"]
    run(enter, stdin=rules(world, pod, gateway))
