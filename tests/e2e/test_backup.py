"""The drill: load, backup, more load, volumes destroyed and restored, and the month adds up."""

from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.collector.places import KEYS, Gateway
from tests.contract.promql import told, unknown
from tests.contract.test_monitoring import expressions
from tests.e2e.system import PATIENCE, System, failed
from tests.e2e.test_trouble import DAMAGE
from tests.e2e.test_whole_way import periods
from tests.kind_helper.errors import CommandFailed
from tests.kind_helper.run import until
from usage_collector.packages import Trust, key_id, read_public_keys, verify

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]

BROKEN, ZONE, LATER = "eu-1a", "eu-1b", "eu-1c"
BACKUP = {"schedule": "0 0 1 1 *", "verify": {"everyDays": 1}}
FOLLOWED = BACKUP | {"continuous": {"everySeconds": 1}}


def backup(system: System, zone: str, *flags: str, code: int = 0) -> dict[str, Any]:
    """Runs a zone's backup at once, with more flags; its summary. It must end with that code."""
    name, origin = f"backup-now-{zone}", f"{system.name}-{zone}-backup"
    ended, summary = system.job(name, origin, *flags, tries=1 if code else None)
    if ended != code:
        raise failed(f"job {name} ended otherwise", system.kubectl("logs", f"job/{name}"))
    return summary


def restored(system: System, request: str, state: str) -> dict[str, Any]:
    """Waits until a restore that somebody asked for is so far; what is said of it."""
    row = f'{{.status.restores[?(@.request=="{request}")]'
    try:
        system.wait(f"uc/{system.name}", f"jsonpath={row}.state}}={state}")
    except CommandFailed as error:
        said = system.kubectl("describe", "uc", system.name)
        raise failed(f"{request} is not {state}", said) from error
    found = system.get("uc", system.name)["status"]["restores"]
    return next(dict(one) for one in found if one["request"] == request)


def annotate(system: System, *words: str) -> None:
    """Writes annotations on the resource, or takes them away."""
    system.kubectl("annotate", "uc", system.name, *(f"usage-operator.io/{word}" for word in words))


def condition(system: System, kind: str) -> tuple[str, str]:
    """Status and reason of a condition."""
    found = system.get("uc", system.name)["status"]["conditions"]
    return next((one["status"], one["reason"]) for one in found if one["type"] == kind)


def message_of(system: System, kind: str, status: str) -> str:
    """Waits until a condition has that status; its message."""
    system.wait(f"uc/{system.name}", f"condition={kind}={status}")
    found = system.get("uc", system.name)["status"]["conditions"]
    return next(str(one["message"]) for one in found if one["type"] == kind)


def destroy(system: System, *names: str) -> None:
    """The volumes of collectors are gone with all that they held; empty ones take their place."""
    old = {name: system.get("pvc", f"data-{name}")["metadata"]["uid"] for name in names}
    system.kubectl("delete", "pvc", *(f"data-{name}" for name in names), "--wait=false")
    for name, uid in old.items():
        _replaced(system, name, uid)


def _replaced(system: System, name: str, old: str) -> None:
    def another() -> bool:
        # A pod that comes back sooner than its claim goes would hold the claim.
        ended(system, name)
        with contextlib.suppress(CommandFailed):
            system.wait(f"pvc/data-{name}", "delete", 10)
        return bool(system.get("pvc", f"data-{name}")["metadata"]["uid"] != old)

    until(another, f"{name} has another volume", seconds=PATIENCE)
    system.wait(f"pod/{name}", "create")
    system.wait(f"pod/{name}", "condition=Ready")


def damage(system: System, name: str) -> None:
    """All but the beginning of a collector's database is zeros; its next start finds that."""
    system.kubectl("exec", name, "--", "python3", "-c", DAMAGE)
    ended(system, name)


def ended(system: System, name: str) -> None:
    """A pod ends at once. kubectl that waited could take the next one for the same, for ever."""
    now = ("--grace-period=0", "--force", "--wait=false", "--ignore-not-found")
    system.kubectl("delete", "pod", name, *now)


def test_lost_and_damaged_ledgers_cost_what_came_after_their_backups(
    system: System, tmp_path: Path
) -> None:
    """A lost one is restored when asked for, one and a damaged one by themselves.

    Each loss is named and counted.
    """
    system.apply(system.resource({"backup": BACKUP}))
    system.wait_ready()
    assert condition(system, "BackedUp") == ("Unknown", "BackupPending")
    system.simulate("--jobs=900", "--sessions=20", "--connections=12", "--reconnect", "--seed=31")
    taken = {zone: backup(system, zone) for zone in (BROKEN, ZONE, LATER)}
    before = periods(system)
    for zone, said in taken.items():
        (ledger,) = before[f"{system.name}-{zone}-0"]
        assert (said["result"], said["verified_ok"]) == ("backed-up", True)
        assert said["events"] == ledger["last"]
    system.wait(f"uc/{system.name}", "condition=BackedUp")
    system.wait(f"uc/{system.name}", "condition=BackupVerified")
    read = [one for one in expressions() if "resource_backup_" in one]
    assert read

    def missing() -> list[str]:
        known = told(system.operator_metrics())
        return [one for one in read if unknown(one, known)]

    # An operator that just took over tells of a resource once it has looked at it.
    until(lambda: not missing(), "all that alerts read is told", seconds=PATIENCE)

    system.simulate("--jobs=300", "--sessions=0", "--connections=12", "--reconnect", "--seed=32")
    heads = periods(system)
    lost = 0
    damage(system, f"{system.name}-{BROKEN}-0")
    destroy(system, *(f"{system.name}-{zone}-0" for zone in (ZONE, LATER)))
    for zone in (ZONE, LATER):
        name = f"{system.name}-{zone}-0"
        (gone,) = heads[name]
        kept = taken[zone]["events"]
        lost += gone["last"] - kept
        assert [one["id"] for one in periods(system)[name]] != [gone["id"]]
        said = asked(system, zone) if zone == ZONE else found(system, zone)
        where = f"{name}, ledger {gone['id'][:8]}"
        assert said["cameBack"] == [f"{where}: 1 to {kept} came back"]
        assert said["lost"] == [f"{where}: what came after {kept}"]
        if zone == ZONE:
            assert condition(system, "Restored") == ("True", "RestoredWithLoss")
    lost += completed(system, heads[f"{system.name}-{BROKEN}-0"][0], taken[BROKEN]["events"])

    assert lost > 0
    period = f"{datetime.now(UTC):%Y-%m}"
    summary = system.export("--period", period)
    assert summary["result"] == "incomplete"
    assert any("began anew" in gap for gap in summary["gaps"])
    sent = sum(ledger["last"] for ledgers in heads.values() for ledger in ledgers)
    assert summary["events"] == sent - lost
    folder = system.fetch(period, tmp_path)
    key = tmp_path / "proof-key.pem"
    key.write_text(system.proof_key())
    report = verify([folder], Trust(proofs={key_id(one): one for one in read_public_keys(key)}))
    assert {str(one.kind) for one in report.findings} == {"gap"}
    for zone in (ZONE, LATER):
        back = f"positions 1 to {taken[zone]['events']} came back from a backup"
        assert any(back in one.detail for one in report.findings), report.findings
    assert report.events == sent - lost
    takes_over(system, taken[BROKEN]["events"])


def asked(system: System, zone: str) -> dict[str, Any]:
    """An annotation plans, then restores; without it nothing is said any more."""
    annotate(system, f"restore-dry-run={zone}")
    planned = restored(system, f"usage-operator.io/restore-dry-run {zone}", "Planned")
    assert condition(system, "Restored") == ("Unknown", "RestorePlanned")
    assert len(periods(system)[f"{system.name}-{zone}-0"]) == 1
    annotate(system, "restore-dry-run-", f"restore={zone}")
    said = restored(system, f"usage-operator.io/restore {zone}", "Restored")
    assert planned["cameBack"] == [text.replace("came", "would come") for text in said["cameBack"]]
    assert len(system.get("uc", system.name)["status"]["restores"]) == 1
    return said


def found(system: System, zone: str) -> dict[str, Any]:
    """The operator finds an empty volume, where it may restore it."""
    annotate(system, "restore-")
    system.apply(system.resource({"backup": BACKUP | {"autoRestore": True}}))
    return restored(system, f"spec.backup.autoRestore {zone}", "Restored")


def completed(system: System, ledger: dict[str, Any], kept: int) -> int:
    """The operator has a damaged ledger completed; how many events it lacks for good."""
    name = f"{system.name}-{BROKEN}-0"
    said = restored(system, f"spec.backup.autoRestore {BROKEN}", "Restored")
    where = f"{name}, ledger {ledger['id'][:8]}"
    (back,) = said["cameBack"]
    (found,) = (one for one in periods(system)[name] if one["id"] == ledger["id"])
    assert (found["restored"], found["last"]) == (True, ledger["last"])
    # What came after the backup is read from the damaged files, as far as that can be done.
    assert all(kept < first <= last <= ledger["last"] for first, last in found["lost"])
    gone = ", ".join(f"{first} to {last}" for first, last in found["lost"])
    read = ledger["last"] - kept - sum(last - first + 1 for first, last in found["lost"])
    files = " and from the damaged files" if read else ""
    assert back.startswith(f"{where}: 1 to {kept}{files} ")
    assert said["events"] == kept + read
    assert said["lost"] == ([f"{where}: {gone}"] if gone else [])
    assert condition(system, "Restored") == ("True", "RestoredWithLoss")
    # The operator asks its collector again; it would do so in any case after ten minutes.
    until(
        lambda: condition(system, "Degraded")[1] != "LedgerDamaged",
        "the damage is told no more",
        seconds=PATIENCE,
    )
    return sum(last - first + 1 for first, last in found["lost"])


def takes_over(system: System, events: int) -> None:
    """A new resource begins with what another one backed up."""
    heir = replace(system, name="heir")
    claim = f"{system.name}-{BROKEN}-backup"
    fields = {
        "zones": [{"name": BROKEN}],
        "restore": {"from": {"volume": {"claimNames": [claim]}}},
    }
    heir.apply(heir.resource(fields))
    said = restored(heir, f"spec.restore.from {claim}", "Restored")
    assert (said["events"], len(said["cameBack"])) == (events, 1)
    assert said["cameBack"][0].startswith(f"heir-{BROKEN}-0, ledger")


def held(system: System) -> dict[str, Any]:
    """What the zone's backup holds by now, tail and all, as its shipper's pod sees it."""
    said = system.kubectl(
        "exec", f"deployment/{system.name}-{ZONE}-backup", "--",
        "usage-collector", "backups", "/backups", "--json",
    )  # fmt: skip
    return dict(json.loads(said)["backups"][0])


def level(system: System) -> list[dict[str, Any]]:
    """Waits until the backup holds all that the collector holds; that one's ledgers."""
    ledgers: list[dict[str, Any]] = periods(system)[f"{system.name}-{ZONE}-0"]
    events = sum(one["last"] for one in ledgers)
    until(lambda: held(system)["events"] >= events, "all is shipped", seconds=PATIENCE)
    return ledgers


def test_a_destroyed_volume_costs_nothing_that_was_shipped(system: System) -> None:
    """Without a scheduled backup in between; with the next one all is in one place again."""
    system.apply(system.resource({"backup": FOLLOWED}))
    system.wait_ready()
    shipper = f"deployment/{system.name}-{ZONE}-backup"
    system.wait(shipper, "create")
    system.wait(shipper, "condition=Available")
    system.simulate("--jobs=300", "--sessions=5", "--connections=12", "--reconnect", "--seed=41")
    first = backup(system, ZONE)
    system.simulate("--jobs=200", "--sessions=0", "--connections=12", "--reconnect", "--seed=42")
    shipped = level(system)
    assert held(system)["events"] > first["events"]

    destroy(system, f"{system.name}-{ZONE}-0")
    system.wait_ready()
    # Soon, not with the next resync: the operator sees that the claim is another.
    row = f'{{.status.zones[?(@.name=="{ZONE}")].lost[0].collector}}={system.name}-{ZONE}-0'
    system.wait(f"uc/{system.name}", f"jsonpath={row}")
    done = backup(system, ZONE)
    if done["events"] < sum(one["last"] for one in shipped):
        raise failed("the next backup lacks what was shipped", json.dumps(done))
    assert (done["result"], done["verified_ok"]) == ("backed-up", True)
    until(
        lambda: condition(system, "BackedUp")[1] != "ShipperBehind",
        "the shipper is level",
        seconds=PATIENCE,
    )
    spoiled(system, shipped[0]["id"])


FLIP = """
import json, pathlib, sys
(index,) = pathlib.Path("/backups").glob("*/index.json")
files = {one["ledger"]: one["file"] for one in json.loads(index.read_text())["index"]["packages"]}
path = index.parent / files[sys.argv[1]]
data = bytearray(path.read_bytes())
data[len(data) // 2] ^= 1
path.write_bytes(data)
print(path.name)
"""


def spoiled(system: System, lost: str) -> None:
    """One flipped byte of what only the backup has is told by its proof until it is put right.

    What the collector still has is fetched again.
    """

    def flip(ledger: str) -> str:
        shipper = ("exec", f"deployment/{system.name}-{ZONE}-backup", "--")
        return system.kubectl(*shipper, "python3", "-c", FLIP, ledger).strip()

    system.simulate("--jobs=60", "--sessions=0", "--connections=6", "--reconnect", "--seed=43")
    for zone in (BROKEN, LATER):
        backup(system, zone)
    message_of(system, "BackupVerified", "True")
    name = flip(lost)
    assert backup(system, ZONE, "--verify", code=1)["verified_ok"] is False
    message = message_of(system, "BackupVerified", "False")
    assert name in message
    assert "the next run fetches again" in message
    assert flip(lost) == name
    other = flip(periods(system)[f"{system.name}-{ZONE}-0"][-1]["id"])
    assert backup(system, ZONE)["verified_ok"]
    message = message_of(system, "BackupVerified", "True")
    assert f"{other} was not what was taken, and was fetched again" in message


def give(system: System, **secrets: dict[str, str]) -> None:
    """Secrets by their names."""
    for name, values in secrets.items():
        kind = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
        system.apply({**kind, "stringData": values})


def secrets(system: System) -> list[bytes]:
    """Each line that the namespace's Secrets hold, but for certificates."""
    found = system.get("secrets", "--field-selector=type=Opaque")["items"]
    values = [base64.b64decode(text) for one in found for text in one["data"].values()]
    lines = [line for one in values if b"CERTIFICATE" not in one for line in one.splitlines()]
    return [line for line in lines if len(line) > 10 and not line.startswith(b"-----")]


def test_an_encrypted_bucket_is_where_another_namespace_begins(
    system: System, tmp_path: Path
) -> None:
    """Nobody reads events or keys in it; with its key all of it is there for a new resource."""
    (tmp_path / "s3" / "usage").mkdir(parents=True)
    server = Gateway(tmp_path / "s3", host=system.host)
    heir = replace(system, namespace=f"{system.namespace}-heir")
    key = {"backup.key": "of-the-backups-of-the-drill-" + "k" * 16}
    sealed = {
        "s3": {"bucket": "usage", "prefix": "eu", "endpoint": server.url, "secretName": "bucket"},
        "encryption": {"secretName": "sealing"},
    }
    server.start()
    try:
        heir.remove()
        heir.create_namespace()
        system.install("--set", f"namespaces={{{system.namespace},{heir.namespace}}}")
        for one in (system, heir):
            give(one, bucket=KEYS, sealing=key)
        fields = {"zones": [{"name": BROKEN}], "restore": {"from": sealed}}
        wanted = {"destination": {"s3": sealed["s3"]}, "encryption": sealed["encryption"]}
        system.apply(system.resource({"backup": BACKUP | wanted}))
        system.wait_ready()
        system.simulate("--jobs=60", "--sessions=0", "--seed=51")
        args = "jsonpath={.spec.jobTemplate.spec.template.spec.containers[0].args}"
        job = f"cronjob/{system.name}-{BROKEN}-backup"
        until(
            lambda: server.url in system.kubectl("get", job, f"--output={args}"),
            "the CronJob is for the bucket",
            seconds=PATIENCE,
        )
        taken = backup(system, BROKEN)
        assert (taken["result"], taken["verified_ok"]) == ("backed-up", True)
        give(system, sealing={"backup.key": "of-nobody-" + "n" * 32})
        assert backup(system, BROKEN, code=2)["result"] == "failed"
        until(
            lambda: "is encrypted with key" in message_of(system, "BackedUp", "False"),
            "the condition names the key",
            seconds=PATIENCE,
        )
        give(system, sealing=key)
        assert backup(system, BROKEN)["events"] == taken["events"]
        heir.apply(heir.resource(fields))
        assert stored(tmp_path / "s3", secrets(system)) > 0
        said = restored(heir, "spec.restore.from", "Restored")
        assert said["events"] == taken["events"]
        assert all("what came after" in one for one in said["lost"])
    finally:
        server.kill()
        system.cluster.kubectl("delete", "namespace", heir.namespace, "--wait=false")


def stored(folder: Path, secrets: list[bytes]) -> int:
    """How many packages there are: all encrypted, and no object tells any of these secrets."""
    objects = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert len(secrets) > 3
    assert not [one for one in objects if any(secret in one for secret in secrets)]
    sealed = [path for path in folder.rglob("packages/*") if path.is_file()]
    assert all(path.read_bytes().startswith(b"USAGEBK1") for path in sealed)
    return len(sealed)
