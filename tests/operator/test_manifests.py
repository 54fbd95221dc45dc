"""The objects that are built."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest

from tests.operator.support import NOW, context, golden
from usage_operator import manifests, naming
from usage_operator.manifests import accounts, claims, disruption, export, peers, service
from usage_operator.manifests import statefulset as sts

FULL: dict[str, Any] = {
    "zones": [
        {"name": "eu-1a"},
        {"name": "eu-1b", "replicas": 2, "storageClassName": "fast", "size": "3Gi"},
        {"name": "cellar", "nodeSelector": {"rack": "7"}},
    ],
    "image": "registry.example/collector@sha256:0",
    "storage": {"size": "2Gi", "storageClassName": "slow", "whenDeleted": "Delete"},
    "ingest": {
        "port": 9443,
        "tls": {"dnsNames": ["usage.example.com", "192.0.2.1"]},
        "service": {
            "type": "LoadBalancer",
            "annotations": {"a": "b"},
            "trafficDistribution": "PreferClose",
        },
    },
    "reporting": {"port": 8443, "tls": False, "tokens": {"secretName": "my-tokens"}},
    "retention": {"days": 30, "holdUnexported": False},
    "signing": {"secretName": "my-keys"},
    "export": {
        "day": 3,
        "at": "23:05",
        "timeZone": "Europe/Berlin",
        "holidays": {"country": "DE", "dates": ["2026-12-24", "2026-12-31"]},
        "limits": {"megabytes": 9, "batchJobs": 10, "realtimeHours": 11},
        "destinations": [{"volume": {"claimName": "archive"}}],
    },
    "template": {
        "resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "priorityClassName": "high",
        "annotations": {"x": "y"},
        "labels": {"team": "billing"},
        "imagePullSecrets": [{"name": "pull"}],
        "serviceAccountAnnotations": {"role": "arn"},
        "securityContext": {"runAsUser": 1000, "fsGroup": 2000},
    },
}


@pytest.mark.parametrize(("name", "fields"), [("default", {}), ("full", FULL)])
def test_golden(name: str, fields: dict[str, Any]) -> None:
    """Every object without key material is as it was reviewed."""
    where = context(**copy.deepcopy(fields))
    zones = where.spec.zones
    running = {zone.name: zone.replicas for zone in zones}
    golden(f"{name}-statefulsets", [sts.build(where, zone, zone.replicas) for zone in zones])
    golden(
        f"{name}-services",
        [service.ingest(where), service.reporting(where), service.headless(where, "eu-1a")],
    )
    golden(f"{name}-export", [export.cronjob(where), export.claim(where)])
    golden(
        f"{name}-others",
        [
            accounts.build(where, naming.COLLECTOR),
            accounts.build(where, naming.EXPORT),
            disruption.build(where, running),
            peers.build(where, running),
            claims.build(where, zones[0], claims.Claim(zones[0].name, 0, "1Gi")),
        ],
    )


DESTINATIONS: list[dict[str, Any]] = [
    {
        "s3": {
            "bucket": "usage",
            "prefix": "eu/",
            "endpoint": "https://s3.example.org:9000",
            "region": "eu-1",
            "pathStyle": False,
            "sse": "aws:kms",
            "sseKmsKeyId": "arn:aws:kms:eu-1:1:key/2",
            "secretName": "bucket-key",
        }
    },
    {"volume": {"size": "7Gi"}},
    {
        "email": {
            "to": ["a+b@example.org", "c@example.org"],
            "from": "usage+eu@example.org",
            "host": "smtp.example.org",
            "port": 2525,
            "tls": "implicit",
            "secretName": "login",
        }
    },
    {
        "https": {
            "url": "https://vendor.example.org/usage",
            "method": "POST",
            "secretName": "header",
            "caKey": "ca.crt",
        }
    },
]


def test_destinations() -> None:
    """A volume, a bucket, mailboxes and a web server: secrets are files, the job alone has them."""
    where = context(export={"destinations": DESTINATIONS})
    golden("destinations-export", [export.cronjob(where), export.claim(where)])


def test_without_a_volume_among_the_destinations_none_is_made() -> None:
    """Then the job mounts none either."""
    where = context(export={"destinations": [DESTINATIONS[0]]})
    job = export.cronjob(where)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert export.claim(where) is None
    assert all("persistentVolumeClaim" not in volume for volume in job["volumes"])


def desired(known: manifests.Known | None = None, **fields: Any) -> list[manifests.Manifest]:
    """Build everything."""
    where = context(**fields)
    return manifests.build(where, known or manifests.Known(where.resource.wanted), NOW)


def test_nothing_is_built_twice() -> None:
    """No two objects have the same kind and name, whatever is set."""
    for fields in ({}, FULL):
        names = [(one["kind"], one["metadata"]["name"]) for one in desired(**fields)]
        assert len(names) == len(set(names))


def test_only_what_must_outlive_the_resource_has_no_owner() -> None:
    """Keys, the authority and the exports' volume stay when the resource goes."""
    orphans = {
        (one["kind"], one["metadata"]["name"])
        for one in desired()
        if "ownerReferences" not in one["metadata"]
    }
    assert orphans == {
        ("Secret", "speech-keys"),
        ("Secret", "speech-ca-key"),
        ("PersistentVolumeClaim", "speech-export"),
    }


def pods(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the pod specs within an object."""
    if manifest["kind"] == "CronJob":
        manifest = manifest["spec"]["jobTemplate"]
    return [manifest["spec"]["template"]["spec"]] if "template" in manifest["spec"] else []


def test_a_drain_takes_a_zone_at_most() -> None:
    """All collectors of a zone may be on one node, which must not wait for ever to be empty."""
    for running, allowed in (({"a": 1, "b": 1}, 1), ({"a": 1, "b": 3}, 3), ({}, 1)):
        assert disruption.build(context(), running)["spec"]["maxUnavailable"] == allowed


def test_pods_are_restricted() -> None:
    """Every pod asks for no more than the restricted Pod Security level admits."""
    found = list(
        itertools.chain.from_iterable(pods(one) for one in desired(**FULL) if "spec" in one)
    )
    assert len(found) == 4
    for pod in found:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_claims_that_do_not_exist_are_not_made() -> None:
    """StatefulSets make the claims; ours are the size and the owner of those that exist."""
    known = manifests.Known({"eu-1a": 2}, claims=[claims.Claim("eu-1a", 1, "1Gi")])
    made = desired(known, zones=[{"name": "eu-1a", "replicas": 2}], storage={"size": "2Gi"})
    found = [one for one in made if one["metadata"]["name"].startswith("data-")]
    assert [one["metadata"]["name"] for one in found] == ["data-speech-eu-1a-1"]
    assert found[0]["spec"]["resources"]["requests"]["storage"] == "2Gi"


def test_leaving_collectors_stay_known() -> None:
    """A zone that left the spec keeps its Service and its place among the peers."""
    made = desired(manifests.Known({"eu-1a": 1, "gone": 2}))
    by_name = {(one["kind"], one["metadata"]["name"]): one for one in made}
    assert ("Service", "speech-gone") in by_name
    assert ("StatefulSet", "speech-gone") not in by_name
    addresses = by_name["ConfigMap", "speech-peers"]["data"]["peers"].splitlines()
    assert addresses == [
        "https://speech-eu-1a-0.speech-eu-1a.metering.svc:8000",
        "https://speech-gone-0.speech-gone.metering.svc:8000",
        "https://speech-gone-1.speech-gone.metering.svc:8000",
    ]


def test_what_was_discarded_keeps_its_volume_with_a_mark() -> None:
    """The mark is there however the annotation goes on; what never had a volume gets none."""
    found = [
        claims.Claim("eu-1a", 0, "1Gi"),
        claims.Claim("eu-1a", 1, "3Gi"),
        claims.Claim("gone", 0, "2Gi"),
        claims.Claim("never", 0, "2Gi", bound=False),
    ]
    made = desired(manifests.Known({"eu-1a": 1}, claims=found))
    marks = {
        one["metadata"]["name"]: (
            one["metadata"].get("annotations"),
            one["spec"]["resources"]["requests"]["storage"],
        )
        for one in made
        if one["metadata"]["name"].startswith("data-")
    }
    marked = {"usage-operator.io/discarded": "true"}
    assert marks == {
        "data-speech-eu-1a-0": (None, "1Gi"),
        "data-speech-eu-1a-1": (marked, "3Gi"),
        "data-speech-gone-0": (marked, "2Gi"),
    }


def test_a_leaving_zone_gets_its_statefulset_back() -> None:
    """Its claims tell what it was; the claim templates of one that is there stay as they are."""
    claim = claims.Claim("gone", 0, "2Gi", "fast", {"disk": "ssd"})
    known = manifests.Known({"eu-1a": 1, "gone": 2}, claims=[claim])
    sets = {o["metadata"]["name"]: o for o in desired(known) if o["kind"] == "StatefulSet"}
    spec = sets["speech-gone"]["spec"]
    assert spec["replicas"] == 2
    assert spec["template"]["spec"]["nodeSelector"] == {"disk": "ssd"}
    (template,) = spec["volumeClaimTemplates"]
    assert template["spec"]["storageClassName"] == "fast"
    assert template["spec"]["resources"]["requests"]["storage"] == "2Gi"
    there = [{"metadata": {"name": "data"}, "spec": {}}]
    known = manifests.Known({"eu-1a": 1, "gone": 2}, claims=[claim], templates={"gone": there})
    sets = {o["metadata"]["name"]: o for o in desired(known) if o["kind"] == "StatefulSet"}
    assert sets["speech-gone"]["spec"]["volumeClaimTemplates"] == there


def test_the_next_month_is_told_who_was_emptied() -> None:
    """Nobody misses a collector that went with everything sent; one that is back is missed."""
    gone = [claims.Claim("gone", 0, "1Gi", emptied=True), claims.Claim("lost", 0, "1Gi")]
    made = {o["metadata"]["name"]: o for o in desired(manifests.Known({"eu-1a": 1}, claims=gone))}
    assert made["speech-peers"]["data"]["retired"] == "speech-gone-0\n"
    marks = {"data-speech-gone-0": "emptied", "data-speech-lost-0": "true"}
    for name, mark in marks.items():
        assert made[name]["metadata"]["annotations"]["usage-operator.io/discarded"] == mark
    back = desired(manifests.Known({"eu-1a": 1, "gone": 1}, claims=gone))
    made = {one["metadata"]["name"]: one for one in back}
    assert made["speech-peers"]["data"]["retired"] == ""


def test_events_go_to_pods_that_say_so_once_all_say() -> None:
    """The Service selects by the label only when no pod would be left out by mistake."""
    for labelled in (True, False):
        made = desired(manifests.Known({"eu-1a": 1}, labelled=labelled))
        (one,) = (o for o in made if (o["kind"], o["metadata"]["name"]) == ("Service", "speech"))
        assert ("usage-operator.io/ingest" in one["spec"]["selector"]) is labelled


def test_a_selector_of_a_zones_own_stands_on_its_claims() -> None:
    """A claim tells on which nodes its collector ran."""
    where = context(zones=[{"name": "eu-1a", "nodeSelector": {"disk": "ssd"}}])
    made = claims.build(where, where.spec.zones[0], claims.Claim("eu-1a", 0, "1Gi"))
    assert made["metadata"]["annotations"] == {"usage-operator.io/node-selector": '{"disk": "ssd"}'}
