"""What a start says of itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx

from tests.collector import traced
from tests.collector.process import CollectorProcess
from tests.collector.samples import event
from usage_collector.web import starting

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_DELAY_US = 1_500_000


def test_a_step_is_told_again_and_again_while_it_lasts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever looks at the log sees what is waited for, and at the end how long that was."""
    monkeypatch.setattr(starting, "PATIENCE_SECONDS", 0.01)
    with starting.told("opening a safe"):
        while caplog.text.count("starting: opening a safe takes") < 2:
            time.sleep(0.005)
    assert "starting: opening a safe took" in caplog.messages[-1]


def test_a_step_that_takes_no_time_is_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """The log of a quick start stays short."""
    with starting.told("opening a drawer"):
        pass
    assert not caplog.text


def test_a_start_on_a_disk_that_is_busy_says_what_it_waits_for(tmp_path: Path) -> None:
    """A flush that takes long is no silence, and the start goes on after it."""
    traced.wrapper(tmp_path / "trace", 0)
    slowed = f"--inject=fsync:delay_enter={_DELAY_US}:when=1"
    strace = ["strace", "-D", "-f", "-o", "/dev/null", slowed]
    collector = CollectorProcess(tmp_path / "data", wrapper=strace, EATS_SECURE="false")
    with collector.patch("usage_collector.web.starting.PATIENCE_SECONDS", 0.3):
        url = collector.ingest_url + "/v1/log"
        httpx.post(url, content=event(), timeout=60).raise_for_status()
        lines = collector.log.read_text().splitlines()
    assert lines[0].endswith(f"starts on {tmp_path / 'data'}")
    assert "starting: taking the data folder takes" in lines[1]
    assert any("starting: taking the data folder took" in line for line in lines)
