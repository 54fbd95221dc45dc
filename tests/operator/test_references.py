"""What the resource names: what is missing, and in which field."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.operator.support import NOW, context
from usage_operator.plan import muster
from usage_operator.reconcile import classes, plan, references
from usage_operator.reconcile.observe import Observed

if TYPE_CHECKING:
    from usage_operator.kube import Client

BUCKET = {"s3": {"bucket": "usage", "secretName": "login"}}
MAIL = {"email": {"to": ["a@example.org"], "host": "smtp.example.org", "secretName": "login"}}
SITE = {"https": {"url": "https://example.org", "secretName": "login", "caKey": "ca.crt"}}
TLS = {"https": SITE["https"] | {"caKey": "tls.crt"}}


class Secrets:
    """Stands for a cluster in which there is at most one Secret, login."""

    def __init__(self, keys: list[str] | None) -> None:
        self._keys = keys

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """Give the Secret."""
        if (kind, namespace, name) != ("Secret", "metering", "login") or self._keys is None:
            return None
        value = base64.b64encode(b"x").decode()
        return {"metadata": {"name": name}, "data": dict.fromkeys(self._keys, value)}


@pytest.mark.parametrize(
    ("destination", "keys", "reason", "words"),
    [
        (BUCKET, None, "SecretMissing", ("[1].s3.secretName", "AWS_SECRET_ACCESS_KEY")),
        (MAIL, ["USAGE_SMTP_USERNAME"], "SecretInvalid", ("[1].email.", "USAGE_SMTP_PASSWORD")),
        (SITE, ["USAGE_HTTPS_HEADER"], "SecretInvalid", ("[1].https.", "lacks ca.crt")),
        (SITE, [], "SecretInvalid", ("lacks USAGE_HTTPS_HEADER and ca.crt",)),
        (SITE, ["USAGE_HTTPS_HEADER", "ca.crt"], None, ()),
        (TLS, ["USAGE_HTTPS_HEADER", "tls.crt"], None, ()),
    ],
)
async def test_a_destination_s_secret(
    destination: dict[str, Any], keys: list[str] | None, reason: str | None, words: tuple[str, ...]
) -> None:
    """A Secret that is missing or lacks a key is told with its field; one that is whole is not."""
    where = context(export={"destinations": [{"volume": {}}, destination]})
    found = await references.check(cast("Client", Secrets(keys)), where, Observed(), ["eu-1a"], NOW)
    assert [one.reason for one in found.export_troubles] == ([reason] if reason else [])
    for word in words:
        assert word in found.export_troubles[0].message
    assert "generated" not in str(found.export_troubles)
    assert not [*found.troubles, *found.backup_troubles]


async def test_what_keeps_backups_from_being_done() -> None:
    """A Secret of backups holds up nothing else; one that collectors need does."""
    backup = {"destination": BUCKET, "encryption": {"secretName": "login"}}
    where = context(backup=backup, signing={"secretName": "login"})
    found = await references.check(cast("Client", Secrets(None)), where, Observed(), ["a"], NOW)
    assert [one.message.partition(":")[0] for one in found.backup_troubles] == [
        "spec.backup.encryption.secretName",
        "spec.backup.destination.s3.secretName",
    ]
    assert [one.message.partition(":")[0] for one in found.troubles] == ["spec.signing.secretName"]
    assert not found.export_troubles


@pytest.mark.parametrize(
    ("fields", "keys", "words"),
    [
        ({"signing": {"secretName": "login"}}, ["hs512.key", "proof.pem"], "hs512.key is shorter"),
        (
            {"reporting": {"tokens": {"secretName": "login"}}},
            ["tokens", "admin"],
            "line 1 of tokens",
        ),
    ],
)
async def test_what_collectors_would_not_start_with(
    fields: dict[str, Any], keys: list[str], words: str
) -> None:
    """It is told before the first of them is restarted."""
    where = context(**fields)
    found = await references.check(cast("Client", Secrets(keys)), where, Observed(), ["a"], NOW)
    (trouble,) = found.troubles
    assert (trouble.reason, words in trouble.message) == ("SecretInvalid", True)


async def test_what_keeps_alerts_from_being_sent() -> None:
    """A webhook's Secret holds up nothing else."""
    hook = {"url": "https://example.org", "secretName": "login", "caKey": "ca.crt"}
    where = context(limits={"alerts": {"webhooks": [{"url": "https://x"}, hook]}})
    secrets = cast("Client", Secrets(["USAGE_HTTPS_HEADER"]))
    found = await references.check(secrets, where, Observed(), ["a"], NOW)
    (trouble,) = found.alert_troubles
    assert trouble.message.startswith("spec.limits.alerts.webhooks[1].secretName")
    assert "lacks ca.crt" in trouble.message
    assert not [*found.troubles, *found.export_troubles, *found.backup_troubles]


class Classes:
    """Stands for a cluster with some storage classes."""

    def __init__(self, *names: str, default: str | None = None) -> None:
        marked = {"storageclass.kubernetes.io/is-default-class": "true"}
        self.there = {
            name: {"metadata": {"name": name, "annotations": marked if name == default else {}}}
            for name in names
        }

    async def exists(self, kind: str, name: str) -> bool:
        """Tell whether there is a storage class."""
        return kind == "StorageClass" and name in self.there

    async def list(self, kind: str, namespace: str | None) -> list[dict[str, Any]]:
        """Give all of them."""
        assert (kind, namespace) == ("StorageClass", None)
        return list(self.there.values())


VOLUMES: dict[str, Any] = {
    "backup": {"destination": {"volume": {"storageClassName": "cold"}}},
    "export": {"destinations": [{"volume": {"storageClassName": "cold"}}]},
}


@pytest.mark.parametrize(("there", "held"), [(("ssd",), True), (("ssd", "cold"), False)])
async def test_a_class_that_only_copies_need(there: tuple[str, ...], held: bool) -> None:
    """Exports and backups are told of it, each with its field; collectors come all the same."""
    where = context(storage={"storageClassName": "ssd"}, **VOLUMES)
    client = cast("Client", Classes(*there))
    found = await references.check(client, where, Observed(), ["eu-1a"], NOW)
    told = [one.message.partition(":")[0] for one in found.export_troubles + found.backup_troubles]
    exports = "spec.export.destinations[0].volume.storageClassName"
    backups = "spec.backup.destination.volume.storageClassName"
    assert told == ([exports, backups] if held else [])
    assert not found.troubles
    fleet = muster(where.resource.wanted, {}, {})
    steps = await plan(None, where, Observed(), fleet, found, NOW)
    claims = {step.ref.name for step in steps.steps if step.ref.kind == "PersistentVolumeClaim"}
    assert claims == (set() if held else {"speech-export", "speech-eu-1a-backup"})
    assert {"StatefulSet", "CronJob"} <= {step.ref.kind for step in steps.steps}


async def test_a_class_that_collectors_need() -> None:
    """It holds up everything: a collector without a volume takes no events."""
    where = context(zones=[{"name": "eu-1a", "storageClassName": "cold"}], **VOLUMES)
    client = cast("Client", Classes("ssd"))
    found = await references.check(client, where, Observed(), ["eu-1a"], NOW)
    assert [one.reason for one in found.troubles] == ["StorageClassMissing"]
    assert "spec.zones[0].storageClassName" in found.troubles[0].message


OURS = {"app.kubernetes.io/managed-by": "usage-operator"}


def waiting(component: str, manager: dict[str, str] | None = OURS, **spec: Any) -> dict[str, Any]:
    """Give a claim that waits for a volume; without a manager it has no labels."""
    metadata: dict[str, Any] = {}
    if manager:
        metadata["labels"] = manager | {"app.kubernetes.io/component": component}
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}


@pytest.mark.parametrize(
    ("claims", "default", "expected"),
    [
        ([waiting("export")], None, ["export"]),
        (
            [waiting("export"), waiting("backup"), waiting("collector")],
            None,
            ["backup", "collector", "export"],
        ),
        ([waiting("collector", storageClassName="ssd")], None, []),
        ([waiting("collector")], "ssd", []),
        ([waiting("backup", None), waiting("export", {"of": "others"})], None, []),
    ],
)
async def test_who_waits_for_a_default_class(
    claims: list[dict[str, Any]], default: str | None, expected: list[str]
) -> None:
    """Only those whose claims are ours and name none, and only where there is no default."""
    client = cast("Client", Classes("ssd", default=default))
    found = await classes.default(client, claims)
    assert [one.component for one in found] == expected
    assert all("no default storage class" in one.trouble.message for one in found)
