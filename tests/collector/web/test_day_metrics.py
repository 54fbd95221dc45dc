"""What Prometheus reads of today and yesterday."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
from prometheus_client import CollectorRegistry, generate_latest

from tests.collector.process import CollectorProcess
from tests.collector.samples import array, event
from usage_collector.errors import StorageUnavailable
from usage_collector.usage import coverage
from usage_collector.usage.coverage import Kind, Source, Trouble
from usage_collector.usage.states import DAY
from usage_collector.web.day_metrics import DayMetrics

if TYPE_CHECKING:
    from pathlib import Path


def test_each_kind_of_trouble_is_told_by_zone_and_day() -> None:
    """Gaps, silence, collectors that are away and clocks: where they are, and nowhere else."""
    sources = [
        Source("c", "a", [Trouble("lost", 100 * DAY, 100 * DAY + DAY // 2)], {101: 3}),
        Source("d", "b", [Trouble("away", 101 * DAY, None, Kind.AWAY)], {}),
    ]
    counts: dict[tuple[str, ...], list[int]] = {("1970-04-11", "b"): [2, 0, 0, 1, 0]}

    def days() -> dict[str, list[dict[str, Any]]]:
        named = {"today": 101, "yesterday": 100}
        return {
            name: coverage.days(sources, counts, day, day, 102 * DAY) for name, day in named.items()
        }

    registry = CollectorRegistry()
    DayMetrics(registry, days).refresh()
    found = set(generate_latest(registry).decode().splitlines())
    assert found >= {
        'usage_day_coverage{day="yesterday",zone="a"} 0.5',
        'usage_day_coverage{day="today",zone="a"} 1.0',
        'usage_day_coverage{day="yesterday",zone="b"} 1.0',
        'usage_day_coverage{day="today",zone="b"} 0.0',
        'usage_day_problems{day="yesterday",kind="gap",zone="a"} 1.0',
        'usage_day_problems{day="today",kind="gap",zone="a"} 0.0',
        'usage_day_problems{day="today",kind="away",zone="b"} 1.0',
        'usage_day_silent_sessions{day="yesterday",zone="b"} 1.0',
        'usage_day_silent_sessions{day="today",zone="b"} 0.0',
        'usage_day_early_events{day="today",zone="a"} 3.0',
        'usage_day_early_events{day="yesterday",zone="a"} 0.0',
    }


def test_an_index_that_cannot_be_read_tells_nothing() -> None:
    """No figure stands for one that is not known."""
    registry, said = CollectorRegistry(), [[{"zone": "a", "coverage": 1.0, "silent_sessions": 0}]]

    def days() -> dict[str, list[dict[str, Any]]]:
        if not said:
            raise StorageUnavailable("the index is away", "wait")
        return {"today": [{**said.pop()[0], "early_events": 0, "problems": []}]}

    metrics = DayMetrics(registry, days)
    metrics.refresh()
    assert b'usage_day_coverage{day="today",zone="a"} 1.0' in generate_latest(registry)
    metrics.refresh()
    assert b'zone="a"' not in generate_latest(registry)


def test_a_collector_tells_what_it_sees(tmp_path: Path) -> None:
    """A session that fell silent and an event from the future, at a real collector."""
    silent = json.loads(event(event="SESSION_STATUS", session_id="s", duration=60))
    early = json.loads(event(session_id="j", duration=60))
    now = datetime.now(UTC)
    silent["time_stamp"] = (now - timedelta(days=1)).isoformat()
    early["time_stamp"] = (now + timedelta(hours=3)).isoformat()
    process = CollectorProcess(tmp_path / "data", EATS_SECURE="false")
    wanted = {"usage_day_silent_sessions": "yesterday", "usage_day_early_events": "today"}
    with process.there_since(3 * 86_400):
        raws = [json.dumps(one).encode() for one in (silent, early)]
        httpx.post(process.ingest_url + "/v1/log", content=array(raws)).raise_for_status()
        deadline = time.monotonic() + 60
        while True:
            text = httpx.get(process.reporting_url + "/metrics").text
            # Midnight may come in between; then all of it is a day older.
            found = {
                name
                for name, day in wanted.items()
                if f'{name}{{day="{day}",zone="eu-1a"}} 1.0' in text
                or f'{name}{{day="yesterday",zone="eu-1a"}} 1.0' in text
            }
            if found == wanted.keys() or f"{datetime.now(UTC):%d}" != f"{now:%d}":
                break
            assert time.monotonic() < deadline, text
            time.sleep(0.05)
        assert 'usage_day_coverage{day="yesterday",zone="eu-1a"} 1.0' in text
