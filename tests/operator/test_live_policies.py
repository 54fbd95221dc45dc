"""What the network policies let through, enforced for collectors that run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.system import pod
from tests.kind_helper.local.provider import Local
from tests.operator import policies

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.operator.live import Place

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

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
LISTEN = ["python3", "-m", "http.server", "8000"]
API_SERVER = "kubernetes.default.svc:443"


def client(place: Place, namespace: str, name: str, labels: dict[str, str]) -> None:
    """Start a pod that listens; it is ready once it does."""
    metadata, spec = {"name": name, "namespace": namespace, "labels": labels}, pod(LISTEN)
    spec["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 8000}, "periodSeconds": 1}
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    place.cluster.kubectl("create", "-f", "-", input=json.dumps(made))
    place.cluster.kubectl(
        *("wait", f"pod/{name}", "-n", namespace, "--for=condition=Ready", "--timeout=120s")
    )


def reaches(place: Place, namespace: str, name: str, *where: str) -> list[bool]:
    """Let a pod connect to these addresses; tell which let it."""
    command = ("exec", name, "-n", namespace, "--", "python3", "-c", ASK, *where)
    told: dict[str, bool] = json.loads(place.cluster.kubectl(*command))
    return list(told.values())


def test_who_may_connect(place: Place, namespace: Callable[..., str]) -> None:
    """Those that are named, the operator and our own jobs; collectors reach each other only."""
    if not isinstance(place.cluster.via, Local):
        pytest.skip("only on local nodes can a test filter packets")
    sources = [{"podSelector": {"matchLabels": {"role": "transcriber"}}}]
    place.apply(networkPolicy={"from": sources})
    other, here, named = namespace(), place.namespace, {"role": "transcriber"}
    place.ready(timeout=120)
    export = place.get("cronjob", f"{place.name}-export")["spec"]["jobTemplate"]["spec"]
    job = export["template"]["metadata"]["labels"]
    for name, labels in (("named", named), ("stranger", {}), ("job", job)):
        client(place, here, f"{place.name}-{name}", labels)
    client(place, other, "named", named)
    client(place, other, "operator", {"app.kubernetes.io/name": "usage-operator"})
    first, second = (f"{place.name}-{zone}" for zone in ("eu-1a", "eu-1b"))
    ports = [f"{first}-0.{first}.{here}.svc:{port}" for port in (9090, 8000)]
    callers = {
        (here, f"{place.name}-named"): [True, True],
        (here, f"{place.name}-stranger"): [False, False],
        (here, f"{place.name}-job"): [False, True],
        (other, "named"): [False, False],
        (other, "operator"): [True, True],
        (here, f"{second}-0"): [False, True],
    }
    idle = f"{place.get('pod', f'{place.name}-job')['status']['podIP']}:8000"
    for where, name in callers:
        assert reaches(place, where, name, *ports, idle, API_SERVER) == [True] * 4, name
    policies.enforce(place.cluster, here, other)
    for (where, name), expected in callers.items():
        assert reaches(place, where, name, *ports) == expected, name
    # Nobody connects to jobs, and collectors to nobody else.
    assert reaches(place, here, f"{place.name}-named", idle, API_SERVER) == [False, True]
    assert reaches(place, here, f"{second}-0", idle, API_SERVER) == [False, False]
