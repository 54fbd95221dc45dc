"""Usage of collectors that are new, asked for without saying from when on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx

from tests.collector.process import CollectorProcess
from tests.collector.processes import Result, command
from tests.collector.samples import event

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = "PARTIAL: collector-0: no collector was there before 20"


def _used(process: CollectorProcess, ago: timedelta) -> None:
    """A job that ended so long ago, and is received now."""
    raw = event(time_stamp=f"{datetime.now(UTC) - ago:%Y-%m-%dT%H:%M:%SZ}", session_id=str(ago))
    answer = httpx.post(process.ingest_url + "/v1/log", content=raw, verify=process.trusting())
    assert answer.status_code == 201


def _usage(process: CollectorProcess) -> Result:
    return command("usage", "--peers", process.reporting_url)


def _partial(process: CollectorProcess, path: str = "/v1/customers/-/usage") -> str | None:
    answer = httpx.get(process.reporting_url + path)
    header: str | None = answer.headers.get("Usage-Partial")
    return header


def test_of_the_time_before_it_nobody_knows(tmp_path: Path) -> None:
    """One that began today says so of yesterday, without any usage and with what came late."""
    with CollectorProcess(tmp_path / "data") as process:
        none = _usage(process)
        assert (none.code, none.out.splitlines()[-1]) == (1, "None is known.")
        assert none.out.startswith("Usage up to 20")
        assert NOBODY in none.err
        assert _partial(process) == _partial(process, "/v1/limits") == "collector-0"
        _used(process, timedelta(days=1))
        late = _usage(process)
        assert late.code == 1
        assert "1 jobs and sessions" in late.out
        assert NOBODY in late.err


def test_since_it_began_all_is_known(tmp_path: Path) -> None:
    """From the day on which it began its figures are whole; what came late of days before is not.

    The day itself is the first there is of it, so that usage is not partial for ever.
    """
    began = timedelta(days=3)
    with CollectorProcess(tmp_path / "data").there_since(began.total_seconds()) as process:
        none = _usage(process)
        assert (none.code, none.err, none.out.splitlines()[-1]) == (0, "", "None.")
        _used(process, began - timedelta(seconds=1))
        whole = _usage(process)
        assert (whole.code, whole.err) == (0, "")
        assert "1 jobs and sessions" in whole.out
        assert _partial(process) is None
        _used(process, began + timedelta(days=1))
        late = _usage(process)
        assert (late.code, "2 jobs and sessions" in late.out) == (1, True)
        assert NOBODY in late.err
        assert _partial(process) == "collector-0"
