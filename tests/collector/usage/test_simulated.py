"""A fleet under made-up use, against the simulator's own count of what was acknowledged."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.collector.process import CollectorProcess
from usage_collector.periods import microseconds
from usage_collector.simulate import Plan, Tally, timeline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from usage_collector.simulate import Told

DAY = 86_400_000_000
START = microseconds(datetime.now(UTC).replace(hour=0, minute=0) - timedelta(days=20))


def _batches(told: Iterator[Told], random: Random) -> Iterator[list[Told]]:
    while batch := list(islice(told, random.randint(1, 60))):
        yield batch


def _usage(of: CollectorProcess, query: str = "") -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{of.reporting_url}/v2/usage?{query}").json()
    return answer


def _settled(of: CollectorProcess, count: int) -> dict[str, Any]:
    """The first whole answer with that many jobs and sessions; fails when there comes none."""
    deadline = time.monotonic() + 40
    while True:
        answer = _usage(of)
        if "partial" not in answer and sum(r["count"] for r in answer["summary"] or []) == count:
            return answer
        assert time.monotonic() < deadline, (count, answer)
        time.sleep(0.05)


def test_totals_equal_the_simulators_count(tmp_path: Path) -> None:
    """Spread over two collectors, sent twice now and then, one of them killed: all comes out."""
    peers = tmp_path / "peers"
    peers.write_text("")
    fleet = [
        CollectorProcess(
            tmp_path / name, USAGE_NAME=name, USAGE_ZONE=name, USAGE_PEERS=f"@{peers}",
            EATS_SECURE="false",
        ).patch("usage_collector.usage.fleet.EXCHANGE_SECONDS", 0.2)
        for name in ("a", "b")
    ]  # fmt: skip
    random, tally = Random(7), Tally()
    plan = Plan(jobs=1500, sessions=60, start=START, span=10 * DAY, engines=3, lost=0.2)
    with fleet[0], fleet[1]:
        peers.write_text("\n".join(one.reporting_url for one in fleet))
        for number, batch in enumerate(_batches(timeline(plan, Random(3)), random)):
            body = b"[" + b",".join(told.raw for told in batch) + b"]"
            # A client that saw no answer sends the same again, through the Service to another one.
            for one in random.sample(fleet, random.choice((1, 1, 1, 2))):
                assert httpx.post(f"{one.ingest_url}/v1/log", content=body).status_code == 201
            tally.acknowledged(batch)
            if number == 20:
                fleet[1].kill()
                fleet[1].start()
        counted = tally.jobs + tally.sessions + len(tally.running)
        seconds = (tally.job_time + tally.session_time + sum(tally.running.values())) / 1e6
        assert tally.running
        for one in fleet:
            answer = _settled(one, counted)
            hours = sum(row["duration_hrs"] for row in answer["summary"])
            assert hours == pytest.approx(seconds / 3600, abs=1e-5)
        for group in ("day", "customer", "language", "zone", "format,month", "contract"):
            groups = [_usage(one, f"group_by={group}")["groups"] for one in fleet]
            assert groups[0] == groups[1]
            assert sum(row["count"] for row in groups[0]) == counted
        estimated = sum(row["estimated_count"] for row in groups[0])
        assert estimated == len(tally.running)
        # Windows that meet add up to the whole.
        middle = datetime.fromtimestamp(START / 1e6, UTC).date() + timedelta(days=5)
        before = _usage(fleet[0], f"until={middle}")["summary"]
        after = _usage(fleet[0], f"since={middle + timedelta(days=1)}")["summary"]
        assert sum(row["count"] for row in [*before, *after]) == counted
