"""The drill: load, backup, more load, a volume destroyed, restored, and the month adds up."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.system import System, failed, pod
from tests.e2e.test_whole_way import periods
from tests.kind_helper.errors import CommandFailed
from usage_collector.packages import Trust, key_id, read_public_keys, verify

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

ZONE = "eu-1b"
BACKUP = {"schedule": "0 0 1 1 *", "verify": {"everyDays": 1}}


def backup(system: System, zone: str) -> dict[str, Any]:
    """Runs a zone's backup at once; its summary."""
    name = f"backup-now-{zone}"
    system.kubectl("delete", "job", name, "--ignore-not-found", "--wait=true")
    system.kubectl("create", "job", name, f"--from=cronjob/{system.name}-{zone}-backup")
    ended = "jsonpath={.status.conditions[?(@.status=='True')].type}"
    system.kubectl("wait", f"--for={ended}", f"job/{name}", "--timeout=120s")
    pods = system.get("pods", f"--selector=job-name={name}")["items"]
    state = pods[-1]["status"]["containerStatuses"][0]["state"]["terminated"]
    if state["exitCode"]:
        raise failed(f"job {name} failed", system.kubectl("logs", f"job/{name}"))
    return dict(json.loads(state["message"]))


def restore(system: System, *flags: str) -> dict[str, Any]:
    """Runs `usage-collector restore` beside the volume of backups; what it says."""
    name = f"{system.name}-{ZONE}"
    address = f"https://{name}-0.{name}.{system.namespace}.svc:8000"
    volumes: dict[str, tuple[str, dict[str, Any]]] = {
        "backups": ("/backups", {"persistentVolumeClaim": {"claimName": f"{name}-backup"}}),
        "ca": ("/ca", {"configMap": {"name": f"{system.name}-ca"}}),
        "tokens": ("/tokens", {"secret": {"secretName": f"{system.name}-tokens"}}),
        "tmp": ("/tmp", {"emptyDir": {}}),
    }
    command = [
        "usage-collector", "restore", "/backups", "--to", address, "--json",
        "--ca-file", "/ca/ca.crt", "--token-file", "/tokens/admin", *flags,
    ]  # fmt: skip
    log = system.run("restore", pod(command, volumes))
    return dict(json.loads(log[log.index("{\n") :]))


def condition(system: System, kind: str) -> tuple[str, str]:
    """Status and reason of a condition."""
    found = system.get("uc", system.name)["status"]["conditions"]
    return next((one["status"], one["reason"]) for one in found if one["type"] == kind)


def destroy(system: System, name: str) -> None:
    """The volume of a collector is gone with all that it held; an empty one takes its place."""
    old = system.get("pvc", f"data-{name}")["metadata"]["uid"]
    system.kubectl("delete", "pvc", f"data-{name}", "--wait=false")
    while True:
        # A pod that comes back sooner than its claim goes would hold the claim.
        system.kubectl("delete", "pod", name, "--grace-period=0", "--force", "--ignore-not-found")
        with contextlib.suppress(CommandFailed):
            system.kubectl("wait", "--for=delete", f"pvc/data-{name}", "--timeout=10s")
        with contextlib.suppress(CommandFailed):
            if system.get("pvc", f"data-{name}")["metadata"]["uid"] != old:
                break
    system.kubectl("wait", "--for=create", f"pod/{name}", "--timeout=60s")
    system.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=120s")


def test_a_destroyed_volume_costs_what_came_after_the_backup(
    system: System, tmp_path: Path
) -> None:
    """All up to the backup is in the month, each event once; the rest is named and counted."""
    system.apply(system.resource({"backup": BACKUP}))
    system.wait_ready()
    assert condition(system, "BackedUp") == ("Unknown", "BackupPending")
    system.simulate("--jobs=900", "--sessions=20", "--connections=12", "--reconnect", "--seed=31")
    taken = {zone: backup(system, zone) for zone in ("eu-1a", ZONE, "eu-1c")}
    name = f"{system.name}-{ZONE}-0"
    before = periods(system)
    for zone, said in taken.items():
        (ledger,) = before[f"{system.name}-{zone}-0"]
        assert (said["result"], said["verified_ok"]) == ("backed-up", True)
        assert said["events"] == ledger["last"]
    system.kubectl("wait", "--for=condition=BackedUp", f"uc/{system.name}", "--timeout=90s")
    system.kubectl("wait", "--for=condition=BackupVerified", f"uc/{system.name}", "--timeout=30s")

    system.simulate("--jobs=300", "--sessions=0", "--connections=12", "--reconnect", "--seed=32")
    heads = periods(system)
    (lost_ledger,) = heads[name]
    destroy(system, name)
    system.wait_ready()
    assert [one["id"] for one in periods(system)[name]] != [lost_ledger["id"]]
    planned = restore(system, "--dry-run")["plan"][0]
    assert (planned["state"], planned["comes"]) == ("missing", [[1, taken[ZONE]["events"]]])
    assert planned["open_end"] is True
    done = restore(system)["restored"][0]
    assert (done["state"], done["last"]) == ("restored", taken[ZONE]["events"])

    period = f"{datetime.now(UTC):%Y-%m}"
    summary = system.export("--period", period)
    assert summary["result"] == "incomplete"
    assert any("began anew" in gap for gap in summary["gaps"])
    lost = lost_ledger["last"] - taken[ZONE]["events"]
    assert lost > 0
    sent = sum(ledger["last"] for ledgers in heads.values() for ledger in ledgers)
    assert summary["events"] == sent - lost
    folder = system.fetch(period, tmp_path)
    key = tmp_path / "proof-key.pem"
    key.write_text(system.proof_key())
    report = verify([folder], Trust(proofs={key_id(one): one for one in read_public_keys(key)}))
    assert {str(one.kind) for one in report.findings} == {"gap"}
    assert report.events == sent - lost
