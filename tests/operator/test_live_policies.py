"""What the network policies let through, enforced for collectors that run."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.e2e.system import pod
from tests.kind_helper.local.provider import Local
from tests.operator import policies
from tests.operator.conftest import DEPLOY
from usage_operator import naming

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.operator.live import Place

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

ASK = """
import json, socket, sys
told = {}
for place in sys.argv[1:]:
    host, port = place.split(":")
    try:
        socket.create_connection((host, int(port)), 20).close()
        told[place] = True
    except ConnectionRefusedError:
        told[place] = False
print(json.dumps(told))
"""
LISTEN = """
import sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
for port in map(int, sys.argv[1:]):
    server = ThreadingHTTPServer(("", port), BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever).start()
"""
READ = """
import ssl, sys, urllib.request
trust = ssl._create_unverified_context()
print(urllib.request.urlopen(sys.argv[1], context=trust, timeout=20).status)
"""
API_SERVER = "kubernetes.default.svc:443"
NAMED = {"role": "transcriber"}
OPERATOR = {"app.kubernetes.io/name": "usage-operator"}


def client(place: Place, namespace: str, name: str, labels: dict[str, str]) -> None:
    """Start a pod that listens on two ports; it is ready once it does."""
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    spec = pod(["python3", "-c", LISTEN, "8080", "8000"])
    spec["containers"][0] |= {
        "ports": [{"name": "metrics", "containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
    }
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    place.cluster.kubectl("create", "-f", "-", input=json.dumps(made))


def reaches(place: Place, namespace: str, name: str, *where: str) -> list[bool]:
    """Let a pod connect to these addresses; tell which let it."""
    command = ("exec", name, "-n", namespace, "--", "python3", "-c", ASK, *where)
    told: dict[str, bool] = json.loads(place.cluster.kubectl(*command))
    return list(told.values())


def component(place: Place, name: str) -> list[Any]:
    """Give the pods of a component, by name."""
    chosen = f"app.kubernetes.io/instance={place.name},app.kubernetes.io/component={name}"
    found: list[Any] = place.get("pod", "-l", chosen)["items"]
    return found


def begin(place: Place, other: str) -> dict[str, tuple[str, str]]:
    """Start all who call, and the operator's policy; give namespace and name of each."""
    here = place.namespace
    export = place.get("cronjob", f"{place.name}-export")["spec"]["jobTemplate"]["spec"]
    job = export["template"]["metadata"]["labels"]
    made = {
        "named": (here, NAMED),
        "stranger": (here, {}),
        "job": (here, job),
        "elsewhere": (other, NAMED),
        "operator": (other, OPERATOR),
    }
    for name, (namespace, labels) in made.items():
        client(place, namespace, name, labels)
    for name, (namespace, _) in made.items():
        where = replace(place, namespace=namespace)
        where.wait(f"pod/{name}", "--for=condition=Ready")
    policy = yaml.safe_load((DEPLOY / "base" / "networkpolicy.yaml").read_text())
    policy["metadata"]["namespace"] = other
    place.cluster.kubectl("create", "-f", "-", input=json.dumps(policy))
    return {name: (namespace, name) for name, (namespace, _) in made.items()}


def address(place: Place, namespace: str, name: str) -> str:
    """Give a pod's address."""
    where = ("get", "pod", name, "-n", namespace, "-o", "jsonpath={.status.podIP}")
    return place.cluster.kubectl(*where)


def test_who_may_connect(proxy_image: str, alone: Place, namespace: Callable[..., str]) -> None:
    """Those that are named, the operator and our own jobs; collectors reach each other only.

    The same with proxies, which those that are named reach, and which reach the collectors.
    """
    if not isinstance(alone.cluster.via, Local):
        pytest.skip("only on local nodes can a test filter packets")
    assert proxy_image
    fields: dict[str, Any] = {
        "networkPolicy": {"from": [{"podSelector": {"matchLabels": NAMED}}]},
        "backup": {"continuous": {"everySeconds": 5}},
    }
    alone.apply(**fields)
    other, here = namespace(), alone.namespace
    alone.ready()
    callers = begin(alone, other)
    alone.until("shippers run", lambda: len(component(alone, "shipper")) == 2)
    first, second = (f"{alone.name}-{zone}" for zone in ("eu-1a", "eu-1b"))
    shippers = {one["metadata"]["labels"][naming.ZONE]: one for one in component(alone, "shipper")}
    callers["collector"] = (here, f"{second}-0")
    callers["shipper"] = (here, shippers["eu-1b"]["metadata"]["name"])
    chosen = "app.kubernetes.io/component=shipper"
    alone.wait("pod", "-l", chosen, "--for=condition=Ready")
    shipper = address(alone, here, shippers["eu-1a"]["metadata"]["name"])
    operator, idle = address(alone, *callers["operator"]), address(alone, *callers["job"])
    ports = [f"{first}-0.{first}.{here}.svc:{port}" for port in (9090, 8000)]
    ports += [f"{shipper}:8405", f"{operator}:8080", f"{operator}:8000", f"{idle}:8000"]
    # Ingest and reporting of a collector, a shipper's metrics, the operator's, and what else
    # there is of it, and a job: nobody connects to those two, and collectors to nobody else.
    y, n = True, False
    expected = {
        "named": [y, y, y, y, n, n],
        "stranger": [n, n, n, y, n, n],
        "job": [n, y, n, y, n],
        "elsewhere": [n, n, n, y, n, n],
        "operator": [y, y, n],
        "collector": [n, y, n, n, n, n],
        "shipper": [n, y, n, y, n, n],
    }
    for name, caller in callers.items():
        told = reaches(alone, *caller, *ports, API_SERVER)
        assert told == [True] * len(told), name
    policies.enforce(alone.cluster, here, other)
    for name, told in expected.items():
        assert reaches(alone, *callers[name], *ports[: len(told)]) == told, name
    assert reaches(alone, *callers["named"], API_SERVER) == [True]
    assert reaches(alone, *callers["collector"], API_SERVER) == [False]
    through_proxies(alone, other, callers, ports[:2], fields)


def through_proxies(
    place: Place,
    other: str,
    callers: dict[str, tuple[str, str]],
    ports: list[str],
    fields: dict[str, Any],
) -> None:
    """Put proxies before the collectors, and see who reaches what."""
    place.apply(**fields, ingest={"proxy": {}})

    def begun() -> bool:
        running = [one["status"].get("phase") for one in component(place, "proxy")]
        rules = place.get("networkpolicy", f"{place.name}-collector")["spec"]["ingress"]
        return running == ["Running"] * 2 and len(rules[1]["ports"]) == 2

    place.until("proxies run, and may ask collectors", begun)
    # Filters name addresses: those of proxies were not there before.
    policies.enforce(place.cluster, place.namespace, other)
    place.ready()

    def leads() -> str:
        selector = place.get("service", place.name)["spec"]["selector"]
        return str(selector["app.kubernetes.io/component"])

    place.until("the Service leads to proxies", lambda: leads() == "proxy")
    proxy = component(place, "proxy")[0]["status"]["podIP"]
    ports = [*ports, f"{proxy}:9090", f"{proxy}:8404"]
    y, n = True, False
    expected = {
        "named": [y, y, y, n],
        "stranger": [n, n, n, n],
        "job": [y, y, n, n],
        "elsewhere": [n, n, n, n],
        "operator": [y, y, y, n],
        "collector": [n, y, n, n],
    }
    for name, told in expected.items():
        assert reaches(place, *callers[name], *ports) == told, name
    url = f"https://{place.name}.{place.namespace}.svc:9090/readyz"
    read = ("exec", "named", "--", "python3", "-c", READ, url)
    # Nodes learn a little later where a Service leads.
    place.until("the Service answers", lambda: place.kubectl(*read).strip() == "200")
