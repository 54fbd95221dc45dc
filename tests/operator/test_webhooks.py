"""Notifications of other vendors: the objects that let them in, and what is refused."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography import x509

from tests.operator.support import NOW, context, golden
from tests.operator.test_guards import built
from tests.operator.test_spec import problems
from usage_operator.manifests import network, pki, webhooks
from usage_operator.manifests import statefulset as sts
from usage_operator.reconcile import references, survey
from usage_operator.reconcile.observe import Observed

if TYPE_CHECKING:
    from usage_operator.kube import Client
    from usage_operator.manifests import Context

VENDOR = {"assemblyai": {"secretName": "vendor", "url": "https://api.eu.assemblyai.com:8443"}}
FROM = [{"ipBlock": {"cidr": "44.238.19.20/32"}}]
WEBHOOKS: dict[str, Any] = {
    **VENDOR,
    "port": 9543,
    "tls": {"dnsNames": ["usage.example.org"]},
    "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
    "from": FROM,
}


def pod_of(where: Context) -> dict[str, Any]:
    """Give the specification of the collectors' pods."""
    found: dict[str, Any] = sts.build(where, where.spec.zones[0], 1)["spec"]["template"]["spec"]
    return found


def test_golden() -> None:
    """Service, settings, files, ports and policies are as they were reviewed."""
    where = context(webhooks=WEBHOOKS, networkPolicy={"from": [{"podSelector": {}}]})
    pod = pod_of(where)
    (container,) = pod["containers"]
    policy = network.build(where)[0]["spec"]
    golden(
        "webhooks",
        [
            *webhooks.service(where),
            [one for one in pod["volumes"] if "webhooks" in one["name"]],
            [one for one in container["volumeMounts"] if "webhooks" in one["name"]],
            [one for one in container["env"] if one["name"].startswith(("USAGE_W", "USAGE_ASS"))],
            container["ports"],
            policy["ingress"],
            policy["egress"],
        ],
    )


def test_without_a_vendor_pods_stay_as_they_are() -> None:
    """An upgrade of the operator restarts nobody, and nothing more is made."""
    one, plain = context(webhooks={"port": 9543, "from": FROM}), context()
    assert pod_of(one) == pod_of(plain)
    assert network.build(one) == network.build(plain)
    assert webhooks.service(one) == []
    assert not [key for key in built() if "webhooks" in key[1]]
    assert survey.webhooks_endpoint(one) is None


def test_the_listener_has_a_certificate_of_its_own() -> None:
    """Our authority signs it for the Service and the further names, and it is kept while good."""
    made = built(webhooks=WEBHOOKS)
    data = made["Secret", "speech-webhooks-tls"]["data"]
    pair = pki.Pair(base64.b64decode(data["tls.crt"]), base64.b64decode(data["tls.key"]))
    names = ["speech-webhooks.metering.svc", "usage.example.org"]
    assert pki.problem(pair, names, NOW) is None
    own = x509.load_pem_x509_certificate(pair.certificate)
    signer = base64.b64decode(made["Secret", "speech-ca-key"]["data"]["ca.crt"])
    own.verify_directly_issued_by(x509.load_pem_x509_certificate(signer))
    signing = {key: base64.b64decode(value) for key, value in
               made["Secret", "speech-ca-key"]["data"].items()}  # fmt: skip
    existing = {"tls.crt": pair.certificate, "tls.key": pair.key}
    (again,) = webhooks.material(context(webhooks=WEBHOOKS), existing, signing, NOW)
    assert again["data"] == data


def test_an_issuer_is_asked_for_the_public_names_only() -> None:
    """Pods start without what it has yet to issue; nothing is made here."""
    tls = {"dnsNames": ["usage.example.org"], "issuerRef": {"name": "public"}}
    made = built(webhooks=WEBHOOKS | {"tls": tls})
    asked = made["Certificate", "speech-webhooks-tls"]["spec"]
    assert asked["dnsNames"] == ["usage.example.org"]
    assert asked["secretName"] == "speech-webhooks-tls-issued"
    assert ("Secret", "speech-webhooks-tls") not in made
    volumes = {
        one["name"]: one for one in pod_of(context(webhooks=WEBHOOKS | {"tls": tls}))["volumes"]
    }
    mounted = volumes["webhooks-tls"]["secret"]
    assert (mounted["secretName"], mounted["optional"]) == ("speech-webhooks-tls-issued", True)


def test_a_certificate_of_the_user_s_is_mounted() -> None:
    """No other is made."""
    wanted = WEBHOOKS | {"tls": {"secretName": "mine"}}
    made = built(webhooks=wanted)
    assert ("Secret", "speech-webhooks-tls") not in made
    assert ("Certificate", "speech-webhooks-tls") not in made
    volumes = {one["name"]: one for one in pod_of(context(webhooks=wanted))["volumes"]}
    assert volumes["webhooks-tls"]["secret"]["secretName"] == "mine"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"assemblyai": {}}, "webhooks.assemblyai.secretName"),
        ({"assemblyai": {"secretName": "a", "url": "http://api.assemblyai.com"}}, "url"),
        ({"assemblyai": {"secretName": "a", "url": "https://a:bc"}}, "webhooks.assemblyai.url"),
        (VENDOR | {"port": 9090}, "spec.webhooks.port"),
        (VENDOR | {"port": 8000}, "spec.webhooks.port"),
        (VENDOR | {"tls": {"secretName": "a", "dnsNames": ["b"]}}, "spec.webhooks.tls"),
        (VENDOR | {"tls": {"secretName": "a", "issuerRef": {"name": "b"}}}, "spec.webhooks.tls"),
        (VENDOR | {"tls": {"issuerRef": {"name": "b"}}}, "spec.webhooks.tls.dnsNames"),
    ],
)
def test_what_cannot_be_is_named(wanted: dict[str, Any], words: str) -> None:
    """Each problem with its field."""
    assert words in "; ".join(problems(webhooks=wanted))


class Secrets:
    """Stands for a cluster with one Secret of the vendor's."""

    def __init__(self, data: dict[str, str] | None) -> None:
        self._data = data

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """Give the Secret."""
        if (kind, name) != ("Secret", "vendor") or self._data is None:
            return None
        data = {key: base64.b64encode(text.encode()).decode() for key, text in self._data.items()}
        return {"metadata": {"name": name}, "data": data}


@pytest.mark.parametrize(
    ("data", "reason", "words"),
    [
        (None, "SecretMissing", "headers and api-key"),
        ({"headers": "X-Hook: 0123456789abcdef"}, "SecretInvalid", "lacks api-key"),
        ({"headers": "X-Hook: short", "api-key": "k"}, "SecretInvalid", "line 1 of headers"),
        ({"headers": " \n", "api-key": "k"}, "SecretInvalid", "holds no header"),
        ({"headers": "X-Hook: 0123456789abcdef\n", "api-key": "k"}, None, ""),
    ],
)
async def test_the_vendor_s_secret(
    data: dict[str, str] | None, reason: str | None, words: str
) -> None:
    """What collectors would not start with is told before any of them is restarted."""
    client = cast("Client", Secrets(data))
    where = context(webhooks=WEBHOOKS)
    found = await references.check(client, where, Observed(), ["eu-1a"], NOW)
    assert [one.reason for one in found.troubles] == ([reason] if reason else [])
    assert words in "".join(one.message for one in found.troubles)
    assert "0123456789abcdef" not in str(found.troubles)


def test_the_status_says_where_vendors_notify() -> None:
    """As the cluster has it."""
    where = context(webhooks=WEBHOOKS)
    assert survey.webhooks_endpoint(where) == "speech-webhooks.metering.svc:9543"
