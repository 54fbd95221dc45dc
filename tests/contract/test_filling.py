"""A volume that fills: from what a collector says of it to the status."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.collector import disks
from tests.collector.process import CollectorProcess
from tests.operator.support import context
from usage_operator import conditions, naming, probe
from usage_operator.conditions import Facts, ZoneFacts
from usage_operator.plan import Ref
from usage_operator.reconcile import filling
from usage_operator.reconcile.inquiry import Inquiry
from usage_operator.reconcile.observe import Observed
from usage_operator.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
SIZE = 24 * 1024 * 1024


async def test_the_day_on_which_it_is_full_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real collector is asked before and after its volume filled, by a clock a day later."""
    monkeypatch.setattr(probe, "_TIMEOUT", aiohttp.ClientTimeout(total=60))
    for name in ("pod_host", "service_host"):
        monkeypatch.setattr(naming.Names, name, lambda *_: "localhost")
    with disks.memory(SIZE) as folder:
        process = CollectorProcess(folder / "data", PANDAS_SECURE="true")
        process.log = tmp_path / "log"
        with process:
            ports = {"ingest": process.ingest_port, "reporting": process.reporting_port}
            ours = context(**{name: {"port": port} for name, port in ports.items()})
            trusted = {"data": {"ca.crt": process.ca_file.read_text()}}
            seen = Observed(objects={Ref("ConfigMap", ours.names.ca): trusted})
            inquiry = Inquiry(Settings())

            async def look(now: dt.datetime, before: dict[str, Any]) -> dict[str, Any]:
                facts = Facts(generation=1, now=now, zones=(ZoneFacts("eu-1a", 1, 1),))
                facts = await inquiry.complete(ours, seen, facts, before)
                facts = replace(facts, filling=filling.tell(facts.zones, before))
                return conditions.judge(facts, before).document()

            status = await look(NOW, {})
            assert "fullOn" not in status["zones"][0]["storage"]
            assert degraded(status)[0] == "AsExpected"
            space = shutil.disk_usage(folder)
            (folder / "data" / "more").write_bytes(bytes(space.free - SIZE // 8))
            status = await look(NOW + dt.timedelta(days=1), status)
    # An eighth is left of what filled by more than three of them in a day.
    assert status["zones"][0]["storage"]["fullOn"] == "2026-11-22"
    reason, message = degraded(status)
    assert reason == "VolumeFilling"
    assert "full, and wholly on about 2026-11-22" in message


def degraded(status: dict[str, Any]) -> tuple[str, str]:
    """Give reason and message of the condition."""
    found = next(one for one in status["conditions"] if one["type"] == "Degraded")
    return found["reason"], found["message"]
