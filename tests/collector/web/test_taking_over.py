"""Two processes on one data folder."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.collector.process import CollectorProcess
from tests.collector.samples import event
from tests.kind_helper.run import until
from usage_collector.upkeep import check

if TYPE_CHECKING:
    from pathlib import Path


def _second(folder: Path) -> CollectorProcess:
    """One more collector for that folder, with a log of its own; not yet started."""
    second = CollectorProcess(folder)
    second.log = folder.with_name("second.log")
    return second


def test_a_second_process_on_one_folder_is_refused(tmp_path: Path) -> None:
    """When the first does not end, which goes on."""
    folder = tmp_path / "data"
    with CollectorProcess(folder) as collector:
        second = _second(folder).patch("usage_collector.cli.serve._HANDOVER_SECONDS", 0)
        with pytest.raises(AssertionError, match="in use by another process"):
            second.start()
        assert second.process is not None
        assert second.process.returncode == 1
        assert httpx.get(collector.reporting_url + "/readyz").status_code == 200


def test_a_second_process_takes_over_when_the_first_has_ended(tmp_path: Path) -> None:
    """As after a pod was deleted by force; what the first stored is there."""
    folder = tmp_path / "data"
    second = _second(folder)
    with CollectorProcess(folder) as first, ThreadPoolExecutor() as pool:
        httpx.post(first.ingest_url + "/v1/log", content=event(), verify=first.trusting())
        started = pool.submit(second.start)
        until(
            lambda: second.log.exists() and "in use by" in second.log.read_text(),
            "it waits",
            seconds=60,
        )
        first.kill()
        started.result()
        assert second.stop() == 0
    assert check(folder, lambda *_: None).events == 1
