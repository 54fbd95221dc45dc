"""What the API server refuses, in its own words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.operator.live import Place

if TYPE_CHECKING:
    from tests.kind_helper.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

ONE = {"name": "eu-1a"}
MAIL = {"to": ["a@example.org"], "host": "smtp.example.org"}


def anywhere(cluster: Cluster) -> Place:
    """Give a namespace for dry runs, which leave nothing behind."""
    return Place(cluster, "default")


@pytest.mark.parametrize(
    ("fields", "field", "remedy"),
    [
        ({"zones": []}, "spec.zones", "name at least one zone"),
        ({"zones": [ONE, ONE]}, "spec.zones[1]", 'Duplicate value: {"name":"eu-1a"}'),
        ({"zones": [{"name": "EU"}]}, "spec.zones[0].name", "rename the zone"),
        ({"zones": [{"name": "tls"}]}, "spec.zones[0].name", "rename the zone"),
        (
            {"zones": [ONE | {"replicas": 0}]},
            "spec.zones[0].replicas",
            "or equal to 1",
        ),
        ({"zones": [ONE | {"size": "x"}]}, "spec.zones[0].size", "such as 1Gi"),
        ({"zone": []}, "spec.zone", "unknown field"),
        ({"storage": {"size": "0"}}, "spec.storage.size", "such as 1Gi"),
        ({"storage": {"size": 5}}, "spec.storage.size", "must be of type string"),
        ({"ingest": {"port": 80}}, "spec.ingest.port", "greater than or equal to 1024"),
        ({"ingest": {"port": 8000}}, "ingest.port and reporting.port", "choose another port"),
        ({"ingest": {"service": {"type": "None"}}}, "spec.ingest.service.type", "ClusterIP"),
        (
            {"ingest": {"tls": {"dnsNames": ["a"], "secretName": "b"}}},
            "tls.dnsNames and tls.secretName",
            "remove one",
        ),
        *(
            ({"ingest": {"tls": {"dnsNames": [name]}}}, "spec.ingest.tls.dnsNames[0]", "xn--")
            for name in ("büro.example", "https://a.example", "a.example:9090", "a.")
        ),
        (
            {"export": {"destinations": [{"volume": {"claimName": "a", "size": "1Gi"}}]}},
            "volume.claimName",
            "remove either",
        ),
        ({"backup": {"schedule": "daily"}}, "spec.backup.schedule", "such as 0 6 * * * or @daily"),
        ({"export": {"holidays": {"country": "de"}}}, "export.holidays.country", "such as DE"),
        ({"export": {"destinations": [{}]}}, "spec.export.destinations[0]", "exactly one of"),
        ({"export": {"destinations": [{"volume": {}}] * 2}}, "export.destinations", "keep one"),
        (
            {"export": {"destinations": [{"s3": {"bucket": "usage", "caKey": "ca.crt"}}]}},
            "spec.export.destinations[0].s3",
            "name that Secret",
        ),
        (
            {"export": {"destinations": [{"email": MAIL | {"tls": "none", "secretName": "s"}}]}},
            "spec.export.destinations[0].email",
            "choose starttls",
        ),
        (
            {"limits": {"alerts": {"webhooks": [{"url": "http://example.org"}]}}},
            "limits.alerts.webhooks[]",
            "use https",
        ),
        (
            {"limits": {"quotas": [{"customer": "a"}, {"customer": "a"}]}},
            "spec.limits.quotas[1]",
            "Duplicate value",
        ),
        (
            {"webhooks": {"port": 9090, "assemblyai": {"secretName": "a"}}},
            "webhooks.port",
            "choose another port",
        ),
        (
            {"webhooks": {"assemblyai": {"secretName": "a", "url": "http://x"}}},
            "spec.webhooks.assemblyai.url",
            "https",
        ),
        ({"export": {"day": 29}}, "spec.export.day", "1 to 28"),
        ({"export": {"day": "Friday"}}, "spec.export.day", "LastWorkingDay"),
        ({"export": {"at": "25:00"}}, "spec.export.at", "HH:MM"),
        ({"export": {"timeZone": "not a zone"}}, "spec.export.timeZone", "Europe/Berlin"),
        ({"export": {"holidays": {"country": "de"}}}, "spec.export.holidays.country", "such as DE"),
        (
            {"export": {"holidays": {"dates": ["24.12."]}}},
            "spec.export.holidays.dates[0]",
            "YYYY-MM-DD",
        ),
        (
            {"template": {"labels": {"app.kubernetes.io/name": "x"}}},
            "template.labels",
            "another prefix",
        ),
        (
            {"template": {"resources": {"limits": {"cpu": "lots"}}}},
            "spec.template.resources.limits[cpu]",
            "such as 500m",
        ),
    ],
)
def test_a_bad_field_is_refused(
    definition: Cluster, fields: dict[str, Any], field: str, remedy: str
) -> None:
    """The message names the field and the remedy."""
    words = anywhere(definition).refusal(dry=True, **fields)
    assert field in words
    assert remedy in words


@pytest.mark.parametrize(
    ("name", "zones"),
    [("1speech", [ONE]), ("a" * 41, [ONE]), ("a" * 30, [{"name": "b" * 22}])],
)
def test_names_that_do_not_fit_are_refused(
    definition: Cluster, name: str, zones: list[dict[str, str]]
) -> None:
    """The message tells which name to change."""
    words = anywhere(definition).refusal(name, dry=True, zones=zones)
    assert "metadata.name" in words
    assert "choose another name" in words or "shorten one" in words


def test_volumes_cannot_shrink(bare: Place) -> None:
    """Neither collectors' nor exports' nor backups', but another spelling is no change."""
    zones = [ONE | {"size": "3Gi"}, {"name": "eu-1b"}]
    export = {"destinations": [{"volume": {"size": "5Gi"}}]}
    good: dict[str, Any] = {"zones": zones, "storage": {"size": "2Gi"}, "export": export}
    good["backup"] = {"destination": {"volume": {"size": "5Gi"}}}
    bare.apply(**good)
    smaller = [ONE | {"size": "1Gi"}, {"name": "eu-1b"}]
    changes: list[dict[str, Any]] = [
        {"storage": {"size": "1Gi"}},
        {"zones": smaller},
        {"zones": [ONE, {"name": "eu-1b"}]},
        {"export": {"destinations": [{"volume": {"size": "4Gi"}}]}},
        {"backup": {"destination": {"volume": {"size": "4Gi"}}}},
    ]
    for change in changes:
        words = bare.refusal(**{**good, **change})
        assert "cannot shrink" in words
        assert "keep the old size" in words
    bare.apply(**{**good, "storage": {"size": "2048Mi"}})
    bare.apply(**{**good, "zones": [*zones, {"name": "eu-1c", "size": "1Gi"}]})
    bare.apply(**{**good, "backup": None})


def test_nulls_are_like_nothing(bare: Place) -> None:
    """Fields may be spelled out as null, as the documentation shows them."""
    bare.apply(
        image=None,
        storage={"storageClassName": None},
        ingest={"tls": {"dnsNames": ["a"], "secretName": None}},
        reporting={"tokens": {"secretName": None}},
        export={"destinations": [{"volume": {"size": None, "claimName": "x"}}]},
    )


def test_deleting_says_that_the_volumes_stay(bare: Place) -> None:
    """kubectl shows a warning with the command that lists them, or that they go too."""
    bare.apply()
    delete = ("delete", "uc", "speech")
    # The API server takes a new policy up a little later.
    bare.until("the policy is in force", lambda: bare.warnings(*delete, "--dry-run=server"))
    words = bare.warnings(*delete)
    assert "the volumes of speech stay" in words
    assert f"kubectl get pvc -n {bare.namespace}" in words
    bare.apply(storage={"whenDeleted": "Delete"})
    assert "are deleted with it" in bare.warnings(*delete)


def test_a_namespace_goes_without_the_operator(bare: Place) -> None:
    """Nothing of ours holds a resource back: there are no finalizers."""
    bare.apply()
    bare.vanish()
