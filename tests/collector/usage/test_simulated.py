"""A fleet under made-up use, against the simulator's own count of what was acknowledged."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.collector.process import CollectorProcess
from usage_collector import usage
from usage_collector.periods import microseconds
from usage_collector.simulate import Plan, Tally, timeline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from usage_collector.simulate import Told

DAY = 86_400_000_000
HOUR = 3_600_000_000
DAYS = 10
START = microseconds(datetime.now(UTC).replace(hour=0, minute=0) - timedelta(days=20))
PROJECT = "dimension:project"
GROUPS = (*usage.GROUPS, PROJECT)


@dataclass(slots=True)
class Count:
    """What was told of each job and session, with all that it can be grouped by."""

    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)

    def acknowledged(self, batch: list[Told], zone: str) -> None:
        """Count what a collector in that zone took; where several did, the first name counts."""
        for told in batch:
            if told.warm_up:
                continue
            known = self.sessions.get(told.session)
            # Later statuses are longer, and an end is the longest.
            if known is None or (-told.duration, zone) < (-known["duration"], known["zone"]):
                self.sessions[told.session] = _told(told, zone)

    def by(self, names: list[str], first: date, last: date) -> dict[tuple[str | None, ...], Any]:
        """How many, and how many hours, by these groups in that window."""
        found: dict[tuple[str | None, ...], list[int]] = defaultdict(lambda: [0, 0])
        for one in self.sessions.values():
            if str(first) <= one["day"] <= str(last):
                sums = found[tuple(one[name] for name in names)]
                sums[0] += 1
                sums[1] += one["duration"]
        return {key: (count, us) for key, (count, us) in found.items()}


def _told(told: Told, zone: str) -> dict[str, Any]:
    event = json.loads(told.raw)
    specific = event["event_specific_data"]
    day = str(datetime.fromtimestamp(told.at / 1e6, UTC).date())
    return {
        "day": day,
        "month": day[:7],
        "mode": "batch" if told.kind == "TRANSCRIBER_DONE" else "realtime",
        "type": specific["job_config"]["type"],
        **specific["job_config"]["transcription_config"],
        "customer": event["customer_id"],
        "contract": event["contract_id"],
        "format": specific["format_name"],
        "zone": zone,
        PROJECT: event["dimensions"].get("project"),
        "duration": told.duration,
    }


def _batches(told: Iterator[Told], random: Random) -> Iterator[list[Told]]:
    """Some of the events at a time, each with the dimensions of its session."""
    while batch := list(islice(told, random.randint(1, 60))):
        yield [_with_dimensions(one) for one in batch]


def _with_dimensions(told: Told) -> Told:
    number = int(told.session[:8], 16) % 7
    dimensions = {"project": f"p{number}", "team": "x"} if number else {}
    value = {**json.loads(told.raw), "dimensions": dimensions}
    return replace(told, raw=json.dumps(value).encode())


def _usage(of: CollectorProcess, query: str = "") -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{of.reporting_url}/v2/usage?{query}", timeout=60).json()
    return answer


def _settled(of: CollectorProcess, count: int) -> dict[str, Any]:
    """The first whole answer with that many jobs and sessions; fails when there comes none."""
    deadline = time.monotonic() + 60
    while True:
        answer = _usage(of)
        if "partial" not in answer and sum(r["count"] for r in answer["summary"] or []) == count:
            return answer
        assert time.monotonic() < deadline, (count, answer)
        time.sleep(0.05)


def _groups(of: CollectorProcess, asked: str, names: list[str]) -> dict[Any, tuple[int, float]]:
    lines = _usage(of, asked)["groups"] or []
    found = {
        tuple(line[name] for name in names): (line["count"], line["duration_hrs"]) for line in lines
    }
    assert len(found) == len(lines)
    return found


def _compare(fleet: list[CollectorProcess], count: Count, random: Random, times: int) -> None:
    """Each collector answers some windows and groupings as the count says, to the last hour."""
    began = datetime.fromtimestamp(START / 1e6, UTC).date()
    for one in fleet:
        _settled(one, len(count.sessions))
    for _ in range(times):
        first = began + timedelta(days=random.randrange(DAYS))
        last = first + timedelta(days=random.randrange(DAYS))
        names = random.sample(GROUPS, random.randint(1, 4))
        expected = count.by(names, first, last)
        for one in fleet:
            asked = f"since={first}&until={last}&group_by={','.join(names)}"
            wanted = {key: (number, round(us / HOUR, 6)) for key, (number, us) in expected.items()}
            deadline = time.monotonic() + 60
            # Each knows of every session, but perhaps not yet of all that the other heard of it.
            while (found := _groups(one, asked, names)) != wanted and time.monotonic() < deadline:
                time.sleep(0.05)
            assert found == wanted, asked


@pytest.mark.timeout(400)
def test_totals_equal_the_simulators_count(tmp_path: Path) -> None:
    """Spread over two collectors, sent twice now and then, one of them killed: all comes out.

    In any window and by any groups, also between two batches of events.
    """
    peers = tmp_path / "peers"
    peers.write_text("")
    fleet = [
        CollectorProcess(
            tmp_path / name, USAGE_NAME=name, USAGE_ZONE=name, USAGE_PEERS=f"@{peers}",
            EATS_SECURE="false",
        ).patch("usage_collector.usage.fleet.EXCHANGE_SECONDS", 0.2)
        .patch("usage_collector.usage.fleet.SEAL_SECONDS", 0.2)
        for name in ("a", "b")
    ]  # fmt: skip
    random, tally, count = Random(7), Tally(), Count()
    plan = Plan(jobs=1500, sessions=60, start=START, span=DAYS * DAY, engines=3, lost=0.2)
    for one in fleet:
        # Longer ago than the days of these events.
        one.there_since(2_000 * 86_400)
    with fleet[0], fleet[1]:
        peers.write_text("\n".join(one.reporting_url for one in fleet))
        for number, batch in enumerate(_batches(timeline(plan, Random(3)), random)):
            body = b"[" + b",".join(told.raw for told in batch) + b"]"
            # A client that saw no answer sends the same again, through the Service to another one.
            for one in random.sample(fleet, random.choice((1, 1, 1, 2))):
                assert httpx.post(f"{one.ingest_url}/v1/log", content=body).status_code == 201
                count.acknowledged(batch, one.folder.name)
            tally.acknowledged(batch)
            if number == 20:
                fleet[1].kill()
                fleet[1].start()
            if number in (19, 21, 45):
                _compare(fleet, count, random, 3)
        assert tally.running
        assert len(count.sessions) == tally.jobs + tally.sessions + len(tally.running)
        _compare(fleet, count, random, 25)
        seconds = (tally.job_time + tally.session_time + sum(tally.running.values())) / 1e6
        for one in fleet:
            answer = _usage(one, "group_by=contract")
            hours = sum(row["duration_hrs"] for row in answer["summary"])
            assert hours == pytest.approx(seconds / 3600, abs=1e-5)
            estimated = sum(row["estimated_count"] for row in answer["groups"])
            assert estimated == len(tally.running)
