"""What goes wrong inside a volume is loud, a zone that is cut off costs nothing: all go on."""

import json
from typing import Any

import pytest

from tests.e2e.load import position, positions
from tests.e2e.system import PATIENCE, ZONES, System
from tests.kind_helper.local import network
from tests.kind_helper.local.provider import layout_of
from tests.kind_helper.run import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

DAMAGE = """
import os, pathlib
(file,) = pathlib.Path("/data/ledgers").glob("*/events.db")
with file.open("r+b") as database:
    database.seek(4096)
    database.write(bytes(file.stat().st_size - 4096))
    os.fsync(database.fileno())
"""
FILL = """
import os, pathlib
about = os.statvfs("/data")
taken = about.f_bavail - about.f_blocks * 12 // 100
with pathlib.Path("/data/ballast").open("wb") as file:
    os.posix_fallocate(file.fileno(), 0, taken * about.f_frsize)
"""


@pytest.fixture(scope="module")
def small(system: System) -> System:
    """One collector with a small volume, and an operator that asks it every few seconds."""
    system.kubectl("set", "env", "deployment/usage-operator", "USAGE_OPERATOR_RESYNC_SECONDS=4")
    system.rolled_out()
    system.apply(spec(system, "300Mi"))
    system.wait_ready()
    return system


def spec(system: System, size: str) -> dict[str, Any]:
    """The resource with one zone and volumes of this size."""
    return system.resource({"zones": [{"name": ZONES[0]}], "storage": {"size": size}})


def run(system: System, script: str) -> None:
    """Run a script in the collector's container."""
    system.kubectl("exec", f"{system.name}-{ZONES[0]}-0", "--", "python3", "-c", script)


def degraded(system: System) -> tuple[str, str]:
    """Reason and message of the condition `Degraded`."""
    found = system.get("uc", system.name)["status"]["conditions"]
    return next((one["reason"], one["message"]) for one in found if one["type"] == "Degraded")


def test_a_nearly_full_volume_is_told_until_it_grows(small: System) -> None:
    """More than 80 % is a condition and an event; a greater size takes it away without restart."""
    pod = f"{small.name}-{ZONES[0]}-0"
    uid = small.get("pod", pod)["metadata"]["uid"]
    run(small, FILL)
    until(lambda: degraded(small)[0] == "VolumeFilling", "it is told", seconds=PATIENCE)
    assert "spec.storage.size" in degraded(small)[1]
    (row,) = small.get("uc", small.name)["status"]["zones"]
    assert int(row["storage"]["used"].rstrip("%")) > 80
    told = "{.items[?(@.reason=='VolumeFilling')].note}"
    until(
        lambda: "full" in small.kubectl("get", "events.events.k8s.io", f"--output=jsonpath={told}"),
        "there is an event",
        seconds=PATIENCE,
    )
    small.apply(spec(small, "1Gi"))
    until(lambda: degraded(small)[0] == "AsExpected", "there is room", seconds=PATIENCE)
    assert small.get("pod", pod)["metadata"]["uid"] == uid


def test_a_damaged_ledger_is_loud_and_the_collector_goes_on(small: System) -> None:
    """Metric, log and condition tell of it; events are taken as before, by a new ledger."""
    pod = f"{small.name}-{ZONES[0]}-0"
    assert small.simulate("--jobs=60", "--sessions=0")["lost"] == 0
    run(small, DAMAGE)
    before = small.lives(pod)
    small.terminate(pod)
    small.wait_restarted(pod, before)
    until(lambda: degraded(small)[0] == "LedgerDamaged", "the condition tells", seconds=PATIENCE)
    assert f"zone {ZONES[0]}: 1 damaged ledger" in degraded(small)[1]
    small.wait_ready()
    (row,) = small.get("uc", small.name)["status"]["zones"]
    assert row["damaged"] == 1, json.dumps(row)
    assert "usage_ledger_damaged 1.0" in small.metrics(pod)
    # A reader may have met the damage before the end; at the latest the next start did.
    logs = small.kubectl("logs", "--previous", pod) + small.kubectl("logs", pod)
    assert "is closed and set aside" in logs
    assert small.simulate("--jobs=20", "--sessions=0", name="after")["lost"] == 0


def test_a_zone_that_is_cut_off_costs_nothing(small: System) -> None:
    """The others take the events; its collector runs on, and is back with all that it held."""
    layout = layout_of(small.cluster.name)
    if small.cluster.provider != "local" or layout is None:
        pytest.skip("only local nodes can be cut off")
    small.apply(small.resource({"storage": {"size": "1Gi"}}))
    small.wait_ready()
    lone = f"{small.name}-{ZONES[-1]}-0"
    held, lives, before = position(small, lone), small.lives(lone), positions(small)
    with network.apart(layout, ZONES[-1]):
        # Each post connects anew: a third of them is led to the zone that does not answer.
        log = small.kubectl(
            *("exec", f"{small.name}-{ZONES[0]}-0", "--", "usage-collector", "simulate"),
            *(f"--to={small.name}.{small.namespace}.svc:9090", "--ca-file=/etc/usage/ca/ca.crt"),
            *("--jobs=20", "--sessions=0", "--connections=20", f"--patience={PATIENCE}"),
            *("--reconnect", "--quiet", "--json"),
        )
    told = json.loads(log[log.rindex("{\n") :])
    assert told["lost"] == 0
    assert told["retries"] > 0
    assert positions(small) >= before + told["events"]
    assert (position(small, lone), small.lives(lone)) == (held, lives)
    small.wait_ready()
