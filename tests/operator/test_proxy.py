"""Proxies in front of the collectors, on request."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.collector.debian import needed
from tests.operator.support import NOW, as_observed, context
from usage_operator import manifests, naming
from usage_operator.conditions import Facts, Proxies, ZoneFacts, judge
from usage_operator.manifests import network, proxy, service
from usage_operator.plan import ref
from usage_operator.reconcile import survey
from usage_operator.reconcile.observe import Observed

if TYPE_CHECKING:
    from pathlib import Path

PROXIED: dict[str, Any] = {
    "zones": [{"name": "a"}, {"name": "b", "replicas": 2}],
    "ingest": {"port": 9443, "proxy": {}},
    "reporting": {"port": 8443},
}


def kinds(**fields: Any) -> dict[str, Any]:
    """Give what is made for proxies, by kind."""
    return {one["kind"]: one for one in proxy.build(context(**fields))}


def test_none_unless_asked_for() -> None:
    """Without the field nothing is made, and the Service leads to the collectors."""
    assert not proxy.build(context())
    made = manifests.build(context(), manifests.Known({"eu-1a": 1}), NOW)
    assert not [one for one in made if one["kind"] == "Deployment"]


def test_every_collector_is_behind_it(tmp_path: Path) -> None:
    """All that the spec wants, by names that need no search domain; HAProxy takes the file."""
    text = kinds(**PROXIED)["ConfigMap"]["data"]["haproxy.cfg"]
    servers = [line.split()[1:] for line in text.splitlines() if line.startswith("    server ")]
    assert [one[0] for one in servers] == ["a-0", "b-0", "b-1"]
    assert servers[2][1] == "speech-b-1.speech-b.metering.svc.cluster.local:9443"
    assert "check port 8443 check-ssl" in " ".join(servers[0])
    assert all(one[-2:] == ["tcp-ut", "1s"] for one in servers)
    assert "check-ssl" not in proxy.config(context(**PROXIED | {"reporting": {"tls": False}}))
    haproxy = needed(
        "haproxy", lambda: shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy")
    )
    file = tmp_path / "haproxy.cfg"
    file.write_text(text)
    found = subprocess.run(
        [haproxy, "-c", "-f", str(file)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr


def test_a_change_of_the_file_makes_new_pods() -> None:
    """Proxies read their file at the start only, so that the pod template names its hash."""

    def mark(zones: list[dict[str, Any]]) -> str:
        template = kinds(**PROXIED | {"zones": zones})["Deployment"]["spec"]["template"]
        return str(template["metadata"]["annotations"][f"{naming.GROUP}/config"])

    assert mark([{"name": "a"}]) == mark([{"name": "a"}]) != mark([{"name": "b"}])


def test_the_service_leads_to_proxies_only_when_they_are_there() -> None:
    """The Service selects proxies, near ones first, or collectors, near and far alike."""
    wanted = context(**PROXIED)
    component = {
        proxied: service.ingest(wanted, proxied=proxied)["spec"]["selector"][naming.COMPONENT]
        for proxied in (True, False)
    }
    assert component == {True: naming.PROXY, False: naming.COLLECTOR}
    near = [
        service.ingest(wanted, proxied=proxied)["spec"].get("trafficDistribution")
        for proxied in (True, False)
    ]
    assert near == ["PreferClose", None]


def test_policies_let_proxies_through() -> None:
    """Where only some may connect, they may to the proxies, and the proxies to collectors."""
    sources = [{"podSelector": {"matchLabels": {"app": "transcriber"}}}]
    wanted = context(**PROXIED, networkPolicy={"from": sources})
    found = {one["metadata"]["name"]: one["spec"] for one in network.build(wanted)}
    assert found["speech-proxy"]["ingress"][0]["from"][:1] == sources
    ours = found["speech-collector"]["ingress"][1]
    assert {one["port"] for one in ours["ports"]} == {"ingest", "reporting"}


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        ({}, 0),
        ({"observedGeneration": 1, "availableReplicas": 2, "updatedReplicas": 1}, 1),
        ({"observedGeneration": 0, "availableReplicas": 2, "updatedReplicas": 2}, 0),
        ({"observedGeneration": 1, "availableReplicas": 2, "updatedReplicas": 2}, 2),
    ],
)
def test_what_counts_as_ready(status: dict[str, Any], ready: int) -> None:
    """A proxy is ready when it is of the present form and takes connections."""
    wanted = context(**PROXIED)
    there = as_observed(kinds(**PROXIED)["Deployment"], **status)
    there["metadata"]["creationTimestamp"] = "2026-11-01T00:00:00Z"
    seen = Observed({ref(there): there})
    assert survey.proxies(wanted, seen, NOW) == Proxies(2, ready, settling=False)


def test_missing_proxies_are_told() -> None:
    """The resource is not Ready, and Degraded unless they have only just been made."""
    zones = (ZoneFacts("a", 1, 1),)
    facts = Facts(generation=1, now=NOW, zones=zones, proxies=Proxies(2, 0, settling=False))
    found = {one.type: one for one in judge(facts, {}).conditions}
    assert found["Ready"].reason == found["Degraded"].reason == "ProxiesNotReady"
    assert "the Service leads to the collectors themselves" in found["Ready"].message
    fresh = replace(facts, proxies=Proxies(2, 1, settling=True))
    found = {one.type: one for one in judge(fresh, {}).conditions}
    assert (found["Ready"].status, found["Degraded"].status) == ("False", "False")
