"""Network policies, monitoring, and certificates that others issue."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.operator.support import NOW, context, document
from usage_operator import errors, manifests, spec
from usage_operator.manifests import monitoring

ALL = frozenset({"PodMonitor", "PrometheusRule", "Certificate"})


def built(offered: frozenset[str] = ALL, **fields: Any) -> dict[tuple[str, str], Any]:
    """Give all objects of a resource by kind and name."""
    where = replace(context(**fields), offered=offered, operator_namespace="ops")
    made = manifests.build(where, manifests.Known({"eu-1a": 1}), NOW)
    return {(one["kind"], one["metadata"]["name"]): one for one in made}


def test_by_default_all_may_connect_but_only_to_the_two_ports() -> None:
    """Jobs take no connections, collectors open none but for names and to each other."""
    made = built()
    spec_ = made["NetworkPolicy", "speech-collector"]["spec"]
    assert [port["port"] for rule in spec_["ingress"] for port in rule["ports"]] == [
        "ingest",
        "reporting",
    ]
    assert "from" not in spec_["ingress"][0]
    asking_names, asking_others = spec_["egress"]
    assert {port["port"] for port in asking_names["ports"]} == {53}
    assert asking_others == {
        "to": [{"podSelector": spec_["podSelector"]}],
        "ports": [{"port": 8000, "protocol": "TCP"}],
    }
    jobs = made["NetworkPolicy", "speech-export"]["spec"]
    assert (jobs["policyTypes"], jobs["ingress"]) == (["Ingress"], [])


def test_named_peers_and_our_own_may_connect() -> None:
    """Besides them the operator gets through, and the jobs to the reporting port."""
    peer = {"namespaceSelector": {"matchLabels": {"team": "speech"}}}
    made = built(networkPolicy={"from": [peer]})
    theirs, ours, operators = made["NetworkPolicy", "speech-collector"]["spec"]["ingress"]
    assert theirs["from"] == [peer]
    assert [port["port"] for port in ours["ports"]] == ["reporting"]
    labels = operators["from"][0]["namespaceSelector"]["matchLabels"]
    assert labels == {"kubernetes.io/metadata.name": "ops"}


def test_policies_can_be_left_to_others() -> None:
    """Switched off there are none."""
    assert not [key for key in built(networkPolicy={"enabled": False}) if "Network" in key[0]]


def test_monitoring_objects_need_a_word_and_a_kind() -> None:
    """They are made when asked for, as soon as the cluster knows their kinds."""
    wanted = {"podMonitor": True, "rules": True, "labels": {"release": "prom"}}
    kinds = {"PodMonitor", "PrometheusRule"}
    assert not kinds & {key[0] for key in built()}
    assert not kinds & {key[0] for key in built(frozenset(), monitoring=wanted)}
    made = built(monitoring=wanted)
    for kind in kinds:
        assert made[kind, "speech-collector"]["metadata"]["labels"]["release"] == "prom"
    (endpoint,) = made["PodMonitor", "speech-collector"]["spec"]["podMetricsEndpoints"]
    assert endpoint["tlsConfig"]["ca"]["configMap"]["name"] == "speech-ca"
    plain = built(monitoring=wanted, reporting={"tls": False})
    (endpoint,) = plain["PodMonitor", "speech-collector"]["spec"]["podMetricsEndpoints"]
    assert endpoint == {"port": "reporting", "path": "/metrics", "scheme": "http"}


@pytest.mark.parametrize("alert", monitoring.ALERTS, ids=lambda alert: str(alert.name))
def test_alerts_speak_of_one_resource(alert: monitoring.Alert) -> None:
    """Every metric in an expression is narrowed to the resource's collectors."""
    text = monitoring.expression(alert, "ns", "speech-collector")
    assert text.count('{namespace="ns",job="ns/speech-collector"') == alert.expression.count("{on")
    assert "{on" not in text


def test_cert_manager_is_asked_for_all_names() -> None:
    """The Certificate names the issuer, and its Secret is what pods mount; none is made by us."""
    tls = {"issuerRef": {"name": "corp"}, "dnsNames": ["usage.example.org", "192.0.2.7"]}
    made = built(ingest={"tls": tls})
    asked = made["Certificate", "speech-tls"]["spec"]
    assert asked["issuerRef"] == {"name": "corp", "kind": "Issuer", "group": "cert-manager.io"}
    assert "usage.example.org" in asked["dnsNames"]
    assert {"192.0.2.7", "127.0.0.1"} <= set(asked["ipAddresses"])
    assert ("Secret", "speech-tls") not in made
    volumes = made["StatefulSet", "speech-eu-1a"]["spec"]["template"]["spec"]["volumes"]
    assert {"secretName": "speech-tls-issued", "defaultMode": 0o440} in [
        one.get("secret") for one in volumes
    ]


@pytest.mark.parametrize(
    ("wanted", "source"),
    [
        ({"secretName": "mine", "key": "root.pem"}, "secret"),
        ({"configMapName": "mine"}, "configMap"),
    ],
)
def test_clients_can_be_asked_for_certificates(wanted: dict[str, str], source: str) -> None:
    """The authority is mounted as one file, whatever its key is called."""
    made = built(ingest={"tls": {"clientCA": wanted}})
    pod = made["StatefulSet", "speech-eu-1a"]["spec"]["template"]["spec"]
    (volume,) = (one for one in pod["volumes"] if one["name"] == "client-ca")
    item = {"key": wanted.get("key", "ca.crt"), "path": "ca.crt"}
    assert volume[source]["items"] == [item]
    (setting,) = (one for one in pod["containers"][0]["env"] if "CLIENT_CA" in one["name"])
    assert setting["value"] == "/etc/usage/client-ca/ca.crt"


@pytest.mark.parametrize(
    ("tls", "word"),
    [
        ({"clientCA": {}}, "clientCA"),
        ({"clientCA": {"secretName": "a", "configMapName": "b"}}, "clientCA"),
        ({"secretName": "a", "issuerRef": {"name": "b"}}, "issuerRef"),
    ],
)
def test_contradictions_name_the_field(tls: dict[str, Any], word: str) -> None:
    """What cannot be had together is refused."""
    with pytest.raises(errors.InvalidSpec, match=word):
        spec.parse(document(ingest={"tls": tls}))
