"""Certificates: renewed under load without a refused connection, issued by others, and asked for.

cert-manager itself does not run here: its kinds are defined as published, and the test signs in
its place.
"""

import base64
import itertools
import json
import re
import socket
import ssl
import time
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.promql import told, unknown
from tests.contract.test_monitoring import OPERATOR, expressions
from tests.e2e import crds
from tests.e2e.system import PATIENCE, ZONES, System, pod
from tests.kind_helper.errors import CommandFailed
from tests.kind_helper.run import repeating, until
from usage_operator.manifests import pki

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]

CA_SECONDS, LEAF_SECONDS = 138, 60
"""From 92 s on an authority has a successor, which signs from 115 s on."""
QUIET_SECONDS = 25
"""An operator is replaced sooner than that on a machine that is not busy."""
CLIENT = """
import http.client, json, signal, ssl, sys, time
told = {"ok": 0, "failed": [], "roots": []}
def end(*_):
    print(json.dumps(told), flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
while True:
    try:
        text = open("/ca/ca.crt").read()
        if text not in told["roots"]:
            told["roots"].append(text)
        trust = ssl.create_default_context(cadata=text)
        connection = http.client.HTTPSConnection(sys.argv[1], context=trust, timeout=60)
        event = {"event": "SESSION_STATUS", "session_id": str(told["ok"])}
        connection.request("POST", "/v1/log", json.dumps(event))
        answer = connection.getresponse()
        assert answer.status == 201, answer.status
        told["ok"] += 1
        connection.close()
    except Exception as error:
        # At first its node may not lead to the collectors yet.
        if told["ok"]:
            told["failed"].append(f"{time.time()} {error!r}")
    time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def slowness(system: System) -> float:
    """How many times as long all takes as it may: certificates live as many times longer.

    The operator looks every few seconds from then on.
    """
    began = time.monotonic()
    system.kubectl("set", "env", "deployment/usage-operator", "USAGE_OPERATOR_RESYNC_SECONDS=4")
    system.rolled_out()
    return max(1.0, (time.monotonic() - began) / QUIET_SECONDS)


@pytest.fixture(scope="module")
def quick(system: System, slowness: float) -> System:
    """An operator whose certificates live for minutes, and which looks every few seconds."""
    lives = {"caDays": CA_SECONDS, "days": LEAF_SECONDS}
    days = {name: seconds * slowness / 86400 for name, seconds in lives.items()}
    system.install(*(f"--set-json=certificates.{name}={value:.6f}" for name, value in days.items()))
    system.rolled_out()
    return system


def hastened(system: System) -> AbstractContextManager[None]:
    """Let kubelets look at mounted files all the time: they do so when a pod changes."""
    number = itertools.count()

    def mark() -> None:
        # One of them may go just then.
        with suppress(CommandFailed):
            system.kubectl(
                *("annotate", "pods", "--all", "--overwrite", f"example.org/n={next(number)}")
            )

    return repeating(mark, every=2)


def aged(system: System, seconds: float, life: float) -> None:
    """Give the resource to come an authority that was made so long ago, as if from a backup."""
    made = datetime.now(UTC) - timedelta(seconds=seconds)
    pair = pki.make_ca(system.name, made, timedelta(seconds=life))
    ours = {
        "app.kubernetes.io/instance": system.name,
        "app.kubernetes.io/managed-by": "usage-operator",
    }
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{system.name}-ca-key", "labels": ours},
        "stringData": {"ca.crt": pair.certificate.decode(), "ca.key": pair.key.decode()},
    }
    system.apply(secret)


def authorities(system: System) -> list[str]:
    """The certificates that clients are told to trust."""
    text = system.get("configmap", f"{system.name}-ca")["data"]["ca.crt"]
    return re.findall(r"-----BEGIN.*?END CERTIFICATE-----", text, re.DOTALL)


def restarts(system: System) -> dict[str, int]:
    """Each collector's pod, with how often its container was started again."""
    ours = f"app.kubernetes.io/component=collector,app.kubernetes.io/instance={system.name}"
    found = system.get("pods", f"--selector={ours}")["items"]
    return {
        f"{one['metadata']['name']}/{one['metadata']['uid']}": one["status"]["containerStatuses"][
            0
        ]["restartCount"]
        for one in found
    }


def test_a_rotation_refuses_nobody(quick: System, slowness: float) -> None:
    """Leafs and the authority are renewed; every new connection of a client is served."""
    aged(quick, 60 * slowness, CA_SECONDS * slowness)
    quick.apply(quick.resource())
    quick.wait_ready()
    pods = restarts(quick)
    ca = {"ca": ("/ca", {"configMap": {"name": f"{quick.name}-ca"}})}
    host = f"{quick.name}.{quick.namespace}.svc:9090"
    spec = pod(["python3", "-c", CLIENT, host], ca)
    metadata = {"name": "client", "labels": {"app.kubernetes.io/name": "usage-test"}}
    quick.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    quick.wait("pod/client", "condition=Ready")
    # On a slow machine another one may sign by now: then it is that one which is followed.
    first = authorities(quick)[0]
    long = PATIENCE * slowness
    with hastened(quick):
        until(lambda: len(authorities(quick)) == 2, "both are trusted", seconds=long)
        until(lambda: authorities(quick)[0] != first, "the new one signs", seconds=long)
        until(lambda: first not in authorities(quick), "the old one is gone", seconds=long)
        quick.terminate("client")
        quick.wait("pod/client", "jsonpath={.status.containerStatuses[0].state.terminated}")
    counts = json.loads(quick.kubectl("logs", "client"))
    assert counts["failed"] == []
    assert counts["ok"] > 20
    assert len(counts["roots"]) >= 3
    assert restarts(quick) == pods
    quick.kubectl("delete", "uc", quick.name)


def other(system: System, name: str, ingest: dict[str, Any], **spec: Any) -> System:
    """Another resource in the namespace, with one zone, reachable from outside by a NodePort."""
    again = System(system.cluster, system.namespace, name)
    service = {"service": {"type": "NodePort"}}
    again.apply(again.resource({"zones": [{"name": ZONES[0]}], "ingest": ingest | service, **spec}))
    return again


def reason(system: System, kind: str = "Ready") -> str:
    """The reason of a condition."""
    found = system.get("uc", system.name).get("status", {}).get("conditions", [])
    return next((str(one["reason"]) for one in found if one["type"] == kind), "")


def listens(host: str, port: int) -> bool:
    """Whether somebody takes connections there."""
    with suppress(OSError), socket.create_connection((host, port), timeout=10):
        return True
    return False


def post(system: System, trust: ssl.SSLContext) -> int:
    """Post an event from outside, once the node leads to the collector; the status."""
    port = system.get("service", system.name)["spec"]["ports"][0]["nodePort"]
    node = system.cluster.node_address(ZONES[0])
    until(lambda: listens(node, port), "the node leads to the collector", seconds=PATIENCE)
    url = f"https://{node}:{port}/v1/log"
    names = {"sni_hostname": f"{system.name}.{system.namespace}.svc"}
    with httpx.Client(verify=trust) as client:
        return client.post(url, json={"event": "x"}, extensions=names).status_code


def test_clients_without_a_certificate_are_refused(quick: System, tmp_path: Path) -> None:
    """With a client CA only who shows a certificate of it may post; without the CA it is said."""
    issuer = pki.make_ca("clients", datetime.now(UTC))
    mutual = other(quick, "mutual", {"tls": {"clientCA": {"configMapName": "clients"}}})
    until(lambda: reason(mutual) == "ClientCAMissing", "it is missed", seconds=PATIENCE)
    text = issuer.certificate.decode()
    quick.kubectl("create", "configmap", "clients", f"--from-literal=ca.crt={text}")
    mutual.wait_ready()
    trust = ssl.create_default_context(cadata=authorities(mutual)[0])
    with pytest.raises(httpx.TransportError):
        post(mutual, trust)
    leaf = pki.make_leaf(issuer, ["client"], datetime.now(UTC))
    file = tmp_path / "client.pem"
    file.write_bytes(leaf.certificate + leaf.key)
    trust.load_cert_chain(file)
    assert post(mutual, trust) == 201
    quick.kubectl("delete", "uc", "mutual")


def test_cert_manager_issues(quick: System) -> None:
    """The Certificate asks for every name; the Secret that is made for it is served."""
    crds.install(quick.cluster, crds.CERT_MANAGER)
    issued = other(quick, "issued", {"tls": {"issuerRef": {"name": "corp"}}})
    until(lambda: reason(issued) == "CertificatePending", "it waits", seconds=PATIENCE)
    found = "{.items[*].metadata.name}"
    until(
        lambda: "issued-tls" in quick.kubectl("get", "certificates", "-o", f"jsonpath={found}"),
        "it is asked for",
        seconds=PATIENCE,
    )
    assert not quick.get("statefulset", "--selector=app.kubernetes.io/instance=issued")["items"]
    asked = quick.get("certificate", "issued-tls")["spec"]
    now = datetime.now(UTC)
    issuer = pki.make_ca("corp", now)
    leaf = pki.make_leaf(issuer, [*asked["dnsNames"], *asked["ipAddresses"]], now)
    data = {"tls.crt": leaf.certificate, "tls.key": leaf.key, "ca.crt": issuer.certificate}
    quick.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": asked["secretName"]},
            "type": "kubernetes.io/tls",
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }
    )
    issued.wait_ready()
    assert post(issued, ssl.create_default_context(cadata=issuer.certificate.decode())) == 201
    quick.kubectl("delete", "uc", "issued")


def test_monitoring_comes_with_the_kinds(quick: System) -> None:
    """PodMonitor and alerts, valid by their schemas, for a resource that asked for them."""
    crds.install(quick.cluster, crds.PROMETHEUS)
    watched = other(quick, "watched", {}, monitoring={"podMonitor": True, "rules": True})
    for kind in ("podmonitor", "prometheusrule"):
        quick.wait(f"{kind}/watched-collector", "create")
    watched.wait_ready()
    # What is told of backups is read where some were taken.
    others = ("failures", "resource_backup_")
    read = [one for one in expressions() if OPERATOR in one and not any(map(one.count, others))]

    def missing() -> list[str]:
        known = told(quick.operator_metrics())
        return [one for one in read if unknown(one, known)]

    # An operator that just took over tells of a resource once it has looked at it.
    until(lambda: not missing(), "all that alerts read is told", seconds=PATIENCE)
