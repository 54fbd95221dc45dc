"""The resource's fields."""

from __future__ import annotations

from typing import Any

import pytest

from tests.operator.support import document
from usage_operator import errors, spec

MAIL = {"to": ["a@example.org"], "host": "smtp.example.org"}


def problems(**fields: Any) -> list[str]:
    """Give what is wrong with a spec."""
    with pytest.raises(errors.InvalidSpec) as caught:
        spec.parse(document(**fields))
    return caught.value.problems


def test_defaults_stand_in_for_what_is_left_out() -> None:
    """A zone's name is all that has to be given."""
    wanted = spec.parse(document()).spec
    assert wanted.ingest.port == 9090
    assert wanted.reporting.port == 8000
    assert wanted.reporting.tls
    assert wanted.retention.days == 90
    assert wanted.export.day == "LastWorkingDay"
    assert wanted.volume_size(wanted.zones[0]) == "1Gi"


def test_a_zone_overrides_the_common_volume() -> None:
    """Size and class of a zone win over those of storage."""
    wanted = spec.parse(
        document(
            zones=[{"name": "a", "size": "3Gi", "storageClassName": "fast"}, {"name": "b"}],
            storage={"size": "2Gi", "storageClassName": "slow"},
        )
    ).spec
    assert [wanted.volume_size(zone) for zone in wanted.zones] == ["3Gi", "2Gi"]
    assert [wanted.storage_class(zone) for zone in wanted.zones] == ["fast", "slow"]


@pytest.mark.parametrize(
    ("fields", "place", "remedy"),
    [
        ({"zones": []}, "spec.zones", "name at least one"),
        ({"zones": [{"name": "a"}, {"name": "a"}]}, "spec.zones", "name each zone once"),
        ({"zones": [{"name": "EU"}]}, "spec.zones[0].name", "rename the zone"),
        ({"zones": [{"name": "ca-key"}]}, "spec.zones[0].name", "rename the zone"),
        ({"colour": "red"}, "spec.colour", "remove it"),
        ({"storage": {"size": "big"}}, "spec.storage.size", "such as 1Gi"),
        ({"storage": {"size": "0"}}, "spec.storage.size", "above zero"),
        ({"export": {"day": 29}}, "spec.export.day", "1 to 28"),
        ({"export": {"at": "6"}}, "spec.export.at", "HH:MM"),
        ({"export": {"timeZone": "Mars/Base"}}, "spec.export.timeZone", "IANA"),
        ({"export": {"holidays": {"country": "XX"}}}, "spec.export.holidays.country", "ISO 3166-1"),
        ({"export": {"holidays": {"dates": ["x"]}}}, "spec.export.holidays.dates[0]", "YYYY-MM-DD"),
        ({"ingest": {"tls": {"dnsNames": ["a"], "secretName": "b"}}}, "spec.ingest.tls", "remove"),
        *(
            ({"ingest": {"tls": {"dnsNames": [name]}}}, "spec.ingest.tls.dnsNames[0]", "xn--")
            for name in ("büro.example", "https://a.example", "a.example:9090", "fe80::1%eth0")
        ),
        ({"webhooks": {"tls": {"dnsNames": ["a."]}}}, "spec.webhooks.tls.dnsNames[0]", "a dot"),
        ({"ingest": {"port": 8000}}, "spec.reporting.port", "another port"),
        (
            {"export": {"destinations": [{"volume": {"claimName": "a", "size": "1Gi"}}]}},
            "spec.export.destinations[0].volume",
            "remove",
        ),
        ({"export": {"destinations": [{}]}}, "spec.export.destinations[0]", "exactly one of"),
        (
            {"export": {"destinations": [{"https": {"url": "https://a:b@x/"}}]}},
            "spec.export.destinations[0].https.url",
            "pattern",
        ),
        (
            {"export": {"destinations": [{"email": MAIL | {"caKey": "ca.crt"}}]}},
            "spec.export.destinations[0].email",
            "name it",
        ),
        (
            {"export": {"destinations": [{"email": MAIL | {"tls": "none", "secretName": "s"}}]}},
            "spec.export.destinations[0].email",
            "in the clear",
        ),
        (
            {"export": {"destinations": [{"email": MAIL}, {"email": MAIL | {"port": 25}}]}},
            "spec.export.destinations[1]",
            "once",
        ),
        ({"template": {"resources": {"limits": {"cpu": "lots"}}}}, "limits", "unit"),
    ],
)
def test_a_problem_names_field_and_remedy(fields: dict[str, Any], place: str, remedy: str) -> None:
    """Each refusal says where it is and what to do."""
    (problem,) = problems(**fields)
    assert place in problem
    assert remedy in problem


@pytest.mark.parametrize(
    "name",
    ["a", "a-b.Example", "*.example.org", "_a.example", "192.0.2.7", "::1", "::ffff:1.2.3.4"],
)
def test_names_of_certificates(name: str) -> None:
    """Hosts, wildcards and addresses; what is no such name would be in no certificate."""
    tls = spec.parse(document(ingest={"tls": {"dnsNames": [name]}})).spec.ingest.tls
    assert tls.dns_names == [name]


def test_every_problem_is_listed() -> None:
    """Two mistakes are two problems, so that one correction is enough."""
    assert len(problems(storage={"size": "x"}, export={"at": "y"})) == 2


@pytest.mark.parametrize("name", ["a" * 41, "1speech", "a.b"])
def test_a_name_that_does_not_fit(name: str) -> None:
    """A resource's name has to leave room for the names of its objects."""
    with pytest.raises(errors.InvalidSpec, match=r"metadata\.name"):
        spec.parse(document(name))


def test_names_that_do_not_fit_together() -> None:
    """Name and zone together may have 52 characters."""
    spec.parse(document("a" * 30, zones=[{"name": "b" * 21}]))
    with pytest.raises(errors.InvalidSpec, match=r"zones\[0\]\.name"):
        spec.parse(document("a" * 30, zones=[{"name": "b" * 22}]))
