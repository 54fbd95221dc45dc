"""Usage of collectors that are new, asked for without saying from when on."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx

from tests.collector.process import CollectorProcess
from tests.collector.processes import Result, command
from tests.collector.samples import event

if TYPE_CHECKING:
    from collections.abc import Callable
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
        _used(process, timedelta(days=2))
        late = _usage(process)
        assert late.code == 1
        assert "1 job or session" in late.out
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
        assert "1 job or session" in whole.out
        assert _partial(process) is None
        _used(process, began + timedelta(days=2))
        late = _usage(process)
        assert (late.code, "2 jobs and sessions" in late.out) == (1, True)
        assert NOBODY in late.err
        assert _partial(process) == "collector-0"


def _coverage(process: CollectorProcess, ago: int = 0) -> list[tuple[str, float, int | None]]:
    """Zone, coverage and count of the day so many days ago."""
    day = f"{datetime.now(UTC) - timedelta(days=ago):%Y-%m-%d}"
    path = f"/v1/coverage?since={day}&until={day}"
    lines = httpx.get(process.reporting_url + path).raise_for_status().json()["days"]
    return [(line["zone"], line["coverage"], line["count"]) for line in lines]


def test_who_was_there_and_left_is_not_forgotten(tmp_path: Path) -> None:
    """Days of a zone that was removed stay known to the others, though they began later."""
    peers = tmp_path / "peers"
    old, new = (
        CollectorProcess(tmp_path / name, USAGE_NAME=name, USAGE_ZONE=name, USAGE_PEERS=f"@{peers}")
        .patch("usage_collector.usage.fleet.EXCHANGE_SECONDS", 0.2)
        .there_since(days * 86_400)
        for name, days in (("old", 40), ("new", 3))
    )
    urls = [f"{one.reporting_url}\n" for one in (old, new)]
    peers.write_text("".join(urls))
    known = [("old", 1.0, 1)]

    def until(done: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not done():
            assert time.monotonic() < end, _coverage(new, 20)
            time.sleep(0.05)

    def whole() -> bool:
        return (_partial(new), _coverage(new, 20)) == (None, known)

    def alone() -> bool:
        return [zone for zone, *_ in _coverage(new)] == ["new"]

    with new:
        with old:
            _used(old, timedelta(days=20))
            until(whole)
        peers.write_text(urls[1])
        until(lambda: alone() and whole())
        assert _usage(new).code == 0
        new.kill()
        new.start()
        until(lambda: alone() and whole())
        assert _partial(new, "/v1/customers/-/usage?since=2020-01-01") == "old"
