"""From `kubectl apply` to a verified month, with collectors dying on the way."""

import base64
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.collector.browser import Visit, chromium
from tests.collector.usage.receiver import Receiver, receiver
from tests.e2e.system import PATIENCE, ROOT, ZONES, System, failed
from tests.e2e.test_zones import served
from tests.kind_helper import binaries
from tests.kind_helper.run import until
from usage_collector.packages import Package
from usage_collector.simulate.field import CUSTOMERS

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

INGEST = {"service": {"type": "NodePort"}, "tls": {"dnsNames": ["localhost"]}}
CONTRACT = [
    str(ROOT / "tests" / "contract" / f"test_{name}.py") for name in ("ingest", "reporting")
]
PROGRAM = str(Path(sys.executable).parent / "usage-collector")


@pytest.fixture(scope="module")
def alerts(system: System) -> Iterator[Receiver]:
    """A web server on this machine that takes alerts."""
    with receiver(host=system.host) as made:
        yield made


@pytest.fixture(scope="module")
def ready(system: System, alerts: Receiver) -> System:
    """A collector in each zone, reachable from outside by a NodePort.

    The customer that uses most has a quota of 36 seconds, which it soon reaches.
    """
    header = {"USAGE_HTTPS_HEADER": "Authorization: Bearer from-a-secret"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "alerts"}}
    system.apply({**secret, "stringData": header})
    hook = {"url": alerts.url.partition("?")[0], "insecure": True, "secretName": "alerts"}
    limits = {
        "quotas": [{"customer": CUSTOMERS[0], "monthlyHours": 0.01}],
        "alerts": {"thresholds": [50, 100], "webhooks": [hook]},
    }
    system.apply(system.resource({"ingest": INGEST, "limits": limits}))
    system.wait_ready()
    return system


@cache
def month() -> str:
    """The month that is exported, which may end while the tests run."""
    return f"{datetime.now(UTC):%Y-%m}"


def authority(system: System, folder: Path) -> Path:
    """The file with the CA that clients are told to trust."""
    file = folder / "ca.crt"
    file.write_text(system.get("configmap", f"{system.name}-ca")["data"]["ca.crt"])
    return file


def outside(system: System, folder: Path, *flags: str) -> subprocess.Popen[str]:
    """Transcribers outside of the cluster, posting to a node; their record goes to `folder`."""
    ports = system.get("service", system.name)["spec"]["ports"]
    address = f"{system.cluster.node_address(ZONES[0])}:{ports[0]['nodePort']}"
    ca = authority(system, folder)
    name = f"{system.name}.{system.namespace}.svc"
    command = [PROGRAM, "simulate", "--to", address, "--ca-file", str(ca), "--server-name", name]
    record = ["--record", str(folder / "record"), "--quiet", "--json"]
    return subprocess.Popen([*command, *record, *flags], stdout=subprocess.PIPE, text=True)


def stored(system: System) -> dict[str, int]:
    """How many events each collector has stored, by its own metrics."""
    found = {}
    for zone in ZONES:
        pod = f"{system.name}-{zone}-0"
        families = text_string_to_metric_families(system.metrics(pod))
        samples = [sample for family in families for sample in family.samples]
        found[pod] = sum(
            int(sample.value)
            for sample in samples
            if sample.name == "usage_events_total" and sample.labels["result"] == "stored"
        )
    return found


def processes(system: System, pod: str) -> Iterator[int]:
    """The host's process ids of a pod's collector, where the nodes share the host's kernel."""
    uid = system.get("pod", pod)["metadata"]["uid"]
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ours = uid in (folder / "cgroup").read_text().replace("_", "-")
            if ours and b"usage-collector" in (folder / "cmdline").read_bytes():
                yield int(folder.name)


def kill(system: System, pod: str) -> None:
    """End a pod's collector as a crash would: SIGKILL, at once."""
    found = list(processes(system, pod))
    for process in found:
        # Killing the first may have ended the others.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    if not found:
        system.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")


def collectors(system: System) -> list[Any]:
    """The collectors' pods."""
    return list(system.get("pods", "--selector=app.kubernetes.io/component=collector")["items"])


def periods(system: System) -> dict[str, Any]:
    """Each collector's ledgers with their heads, as it tells a client with a token."""
    return {pod: said["ledgers"] for pod, said in asked(system, "/v1/periods").items()}


def token(system: System) -> str:
    """The token that reads, which the operator made."""
    secret = system.get("secret", f"{system.name}-tokens")["data"]["read"]
    return base64.b64decode(secret).decode()


def asked(system: System, path: str) -> dict[str, Any]:
    """What each collector answers to a client with a token."""
    headers = {"Authorization": f"Bearer {token(system)}"}
    names = [f"{system.name}-{zone}-0" for zone in ZONES]
    # One that was just replaced may not listen yet, or not be there.
    for state in ("create", "condition=Ready"):
        pods = (f"pod/{name}" for name in names)
        system.kubectl("wait", f"--for={state}", *pods, "--timeout=120s")
    found = {}
    for pod in names:
        with forwarded(system, pod, 8000) as port:
            try:
                answer = httpx.get(f"https://localhost:{port}{path}", verify=False, headers=headers)
            except httpx.TransportError as error:
                said = system.kubectl("describe", "pod", pod)
                raise failed(f"{pod} does not answer: {error}", said) from error
            found[pod] = answer.raise_for_status().json()
    return found


def used(system: System) -> dict[str, Any]:
    """Count of jobs and sessions that each collector tells of all; None where some may be missing.

    Today's too, which the documented answer leaves out. That nobody knows of the days before the
    cluster was there is no matter.
    """
    return {
        pod: None
        if [one for one in said.get("partial", ()) if "until" not in one]
        else said["totals"]["count"]
        for pod, said in asked(system, "/v1/usage/series?by=zone").items()
    }


@contextlib.contextmanager
def forwarded(system: System, pod: str, port: int) -> Iterator[int]:
    """A local port that leads to a pod's port."""
    kubectl = [str(binaries.program("kubectl")), "--namespace", system.namespace]
    command = [*kubectl, "port-forward", f"pod/{pod}", f":{port}"]
    environment = system.cluster.environment()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            if not line:
                raise failed(f"nothing leads to {pod}", system.kubectl("describe", "pod", pod))
            # kubectl stops when nobody reads what it says of each connection.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield int(line.split(":")[1].split()[0])
        finally:
            process.terminate()


def digests(folder: Path) -> list[str]:
    """The SHA-256 of every event in a delivered period's packages."""
    found = []
    for file in sorted(folder.glob("*.json.gz")):
        with file.open("rb") as stream:
            found += [hashlib.sha256(event).hexdigest() for event in Package(stream, {}).events()]
    return found


def test_a_month_with_a_crash_in_it_is_complete(ready: System, tmp_path: Path) -> None:
    """Every event acknowledged is in the packages, though a collector crashed meanwhile."""
    few = ["--jobs=400", "--sessions=20", "--connections=12", "--seed=7", "--span=0.1"]
    inside = ready.simulate(*few)
    before, pod = sum(stored(ready).values()), f"{ready.name}-eu-1b-0"
    endless = ["--jobs=1000000", "--sessions=0", "--rate=300", "--seed=8", "--span=0.1"]
    with outside(ready, tmp_path, *endless, "--connections=24", "--reconnect") as clients:
        try:
            until(
                lambda: sum(stored(ready).values()) > before + 500,
                "events come in",
                seconds=PATIENCE,
            )
            life = ready.lives(pod)
            kill(ready, pod)
            ready.wait_restarted(pod, life)
            until(lambda: stored(ready)[pod] > 50, "it takes events again", seconds=PATIENCE)
        finally:
            clients.terminate()
        told = json.loads(clients.communicate(timeout=PATIENCE)[0])
    assert told["lost"] == 0
    ready.wait_ready()

    period = month()
    summary = ready.export("--period", period)
    assert (summary["result"], summary["files"], summary["gaps"]) == ("exported", 3, [])
    folder = ready.fetch(period, tmp_path)
    key = tmp_path / "proof-key.pem"
    key.write_text(ready.proof_key())
    command = [PROGRAM, "verify", "--json", "--proof-key", str(key), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    verified = json.loads(done.stdout)
    assert (done.returncode, verified["ok"], verified["self_asserted"]) == (0, True, False)

    delivered = digests(folder)
    acknowledged = {json.loads(line)["sha256"] for line in (tmp_path / "record").open()}
    assert len(acknowledged) == told["events"]
    assert acknowledged <= set(delivered)
    totals = verified["manifests"][0]["totals"]
    jobs = inside["jobs"] + told["jobs"]
    assert totals["count"] == jobs + inside["sessions"]
    hours = inside["job_hours"] + inside["session_hours"] + told["job_hours"]
    assert totals["hours"] == pytest.approx(hours, abs=2e-6)


def test_any_pod_answers_for_all(ready: System) -> None:
    """They ask each other through the network policies, and read the resource's quotas."""
    known: set[Any] = set()

    def agreed() -> bool:
        known.clear()
        known.update(used(ready).values())
        return len(known) == 1 and None not in known

    until(agreed, "all answer the same", seconds=PATIENCE)
    (before,) = known
    assert ready.simulate("--jobs=30", "--sessions=0", "--seed=12")["jobs"] == 30
    everywhere = {before + 30}
    until(lambda: {*used(ready).values()} == everywhere, "all know of each job", seconds=PATIENCE)

    def limits() -> list[tuple[Any, ...]]:
        lines = [line for said in asked(ready, "/v1/limits").values() for line in said["limits"]]
        return [
            (one["customer"], one["quota_hrs"], one["reached"], one["used_hrs"] > 0.01)
            for one in lines
        ]

    reached = [(CUSTOMERS[0], 0.01, 1, True)] * len(ZONES)
    until(lambda: limits() == reached, "all know the quota", seconds=PATIENCE)


def test_alerts_come_once_from_three_collectors(ready: System, alerts: Receiver) -> None:
    """With the header of the Secret, through the policy; each knows that they were sent."""
    alerts.wait(2)
    until(
        lambda: (
            [len(said["alerts"]["sent"]) for said in asked(ready, "/v1/limits").values()]
            == [2, 2, 2]
        ),
        "all know what was sent",
        seconds=PATIENCE,
    )
    assert {one["authorization"] for one in alerts.got} == {"Bearer from-a-secret"}
    assert [one[:2] for one in alerts.taken] == [(CUSTOMERS[0], 0.5), (CUSTOMERS[0], 1.0)]
    assert {one["body"]["fleet"] for one in alerts.got} == {f"{ready.namespace}/{ready.name}"}


def test_the_page_shows_what_all_count(ready: System) -> None:
    """At any pod, in a browser, with the operator's token."""
    pod = f"{ready.name}-{ZONES[0]}-0"
    with forwarded(ready, pod, 8000) as port, chromium() as browser:
        visit = Visit(browser, f"https://localhost:{port}", ignore_https_errors=True)
        page = visit.open(token=token(ready))
        jobs = page.inner_text("#cards .card >> nth=1").split("\n")[0]
        # Of the days before the cluster was there nobody knows, so that it is at least so many.
        assert jobs == f"≥\u00a0{used(ready)[pod]:,}"
        assert CUSTOMERS[0] in page.inner_text("#quotas")
        assert visit.complaints == []


def test_status_tells_of_the_export(ready: System) -> None:
    """The resource shows the month exported and when the next is due."""
    ready.wait(f"uc/{ready.name}", "condition=Exported")
    status = ready.get("uc", ready.name)["status"]
    assert status["lastExport"]["period"] == month()
    assert status["lastExport"]["hours"] > 0
    assert status["nextExport"]["period"] > status["lastExport"]["period"]


def spread(system: System, *load: str) -> list[int]:
    """How many events each collector stores of what is posted through the Service."""
    until(lambda: len(served(system)) == len(ZONES), "the Service leads to all", seconds=PATIENCE)
    before = stored(system)
    told = system.simulate(*load)
    shares = [count - before[pod] for pod, count in stored(system).items()]
    # What is sent again, for want of an answer in time, may be stored by two.
    assert 0 <= sum(shares) - told["events"] <= told["retries"]
    return shares


def test_single_posts_spread_over_the_zones(ready: System) -> None:
    """3,000 posts of one client that reconnects: no collector has less than half its share."""
    load = ["--jobs=3000", "--sessions=0", "--connections=4", "--reconnect", "--seed=9"]
    shares = spread(ready, *load)
    assert min(shares) > 500
    assert max(shares) < 2000


def test_kept_connections_spread_over_the_zones(ready: System) -> None:
    """A client that keeps its connections is spread, because collectors end them now and then."""
    shares = spread(ready, "--jobs=24000", "--sessions=0", "--connections=4", "--seed=10")
    assert min(shares) > 0


def test_a_changed_spec_rolls_and_loses_nothing(ready: System) -> None:
    """A new template replaces every pod, and each finds its ledger again."""
    before = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in collectors(ready)}
    heads = periods(ready)
    template = {"annotations": {"note": "rolled"}}
    ready.apply(ready.resource({"ingest": INGEST, "template": template}))
    ready.wait_ready()
    after = collectors(ready)
    assert all(pod["metadata"]["annotations"]["note"] == "rolled" for pod in after)
    assert not set(before.values()) & {pod["metadata"]["uid"] for pod in after}
    assert periods(ready) == heads


def test_a_deleted_service_comes_back(ready: System) -> None:
    """The round-robin Service is there again after somebody deletes it."""
    uid = ready.get("service", ready.name)["metadata"]["uid"]
    ready.kubectl("delete", "service", ready.name)
    ready.wait(f"service/{ready.name}", "create")
    assert ready.get("service", ready.name)["metadata"]["uid"] != uid
    ready.wait_ready()
    assert ready.simulate("--jobs=10", "--sessions=0", "--seed=11")["lost"] == 0


def test_both_listeners_of_a_pod_keep_the_contract(ready: System, tmp_path: Path) -> None:
    """The contract tests that run against a process pass against a pod too."""
    pod = f"{ready.name}-eu-1a-0"
    secret = ready.get("secret", f"{ready.name}-tokens")["data"]
    tokens = {role: base64.b64decode(secret[role]).decode() for role in ("read", "admin")}
    with forwarded(ready, pod, 9090) as ingest, forwarded(ready, pod, 8000) as reporting:
        environment = {
            **os.environ,
            "CONTRACT_INGEST_URL": f"https://localhost:{ingest}",
            "CONTRACT_REPORTING_URL": f"https://localhost:{reporting}",
            "CONTRACT_CA_FILE": str(authority(ready, tmp_path)),
            "CONTRACT_READ_TOKEN": tokens["read"],
            "CONTRACT_ADMIN_TOKEN": tokens["admin"],
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *CONTRACT]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


def test_volumes_outlive_the_resource(ready: System) -> None:
    """A deleted resource leaves its volumes, says so, and finds them again when it is back."""
    heads = periods(ready)
    said = ready.kubectl("delete", "uc", ready.name, "--wait=true")
    every = ("pod", "--selector=app.kubernetes.io/component=collector")
    ready.kubectl("wait", "--for=delete", *every, f"--timeout={PATIENCE}s")
    claims = ready.get("pvc", f"--selector=app.kubernetes.io/instance={ready.name}")["items"]
    assert {f"data-{ready.name}-{zone}-0" for zone in ZONES} <= {
        claim["metadata"]["name"] for claim in claims
    }
    assert "deleted" in said
    ready.apply(ready.resource())
    ready.wait_ready()
    assert periods(ready) == heads
