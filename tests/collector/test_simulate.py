"""The made-up field: the same every time, plausible, and counted for itself."""

from __future__ import annotations

import io
import json
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.collector.processes import collectors, command, free_port
from usage_collector import events
from usage_collector.periods import Period
from usage_collector.sessions import HOUR, Place, use
from usage_collector.simulate import Plan, Tally, timeline
from usage_collector.totals.month import Month

if TYPE_CHECKING:
    from pathlib import Path

START = Period(2026, 10).start
PLAN = Plan(jobs=300, sessions=40, start=START, span=48 * HOUR, lost=0.25)


def test_the_same_seed_makes_the_same_events() -> None:
    """So that a test can be repeated; another seed makes others."""
    assert list(timeline(PLAN, Random(1))) == list(timeline(PLAN, Random(1)))
    assert list(timeline(PLAN, Random(1))) != list(timeline(PLAN, Random(2)))


def test_events_come_in_the_order_of_their_time() -> None:
    """After the engines' warm-ups, and none after the end of the span."""
    told = list(timeline(PLAN, Random(1)))
    times = [one.at for one in told]
    assert times[6:] == sorted(times[6:])
    assert max(times) == START + 48 * HOUR
    assert sum(one.kind == "TRANSCRIBER_DONE" for one in told) == 300 + 3


def test_events_read_as_what_they_claim() -> None:
    """Every one is plausible to a collector, with the time and duration that was meant."""
    for one in timeline(PLAN, Random(3)):
        event = events.read(one.raw)
        assert (event.kind_name, event.session, event.warm_up) == (
            one.kind,
            one.session,
            one.warm_up,
        )
        assert event.time == one.at // 1000 * 1000
        assert round((event.duration or 0) * 1_000_000) == one.duration
        assert not event.implausible


def test_the_independent_count_agrees_with_the_billing_rules() -> None:
    """Two ways to count, one result; also when posts are acknowledged twice."""
    told = list(timeline(PLAN, Random(4)))
    record = io.StringIO()
    tally = Tally(record=record)
    month = Month(counted_at=START + 100 * HOUR)
    groups: dict[bytes, list[object]] = {}
    for position, one in enumerate([*told, *told[::7]], 1):
        tally.acknowledged([one])
        found = use(events.read(one.raw), Place("c", "L", position), "z")
        assert found
        groups.setdefault(found.identity, []).append(found)
    for _, group in sorted(groups.items()):
        month.add(group)  # type: ignore[arg-type]
    facts = tally.as_json()
    assert month.after.all.count == tally.jobs + tally.sessions + len(tally.running)
    assert month.after.all.duration == (
        tally.job_time + tally.session_time + sum(tally.running.values())
    )
    assert month.after.warm_ups.count == facts["warm_ups"] == 6
    assert month.after.estimated.count == facts["unended"]
    lines = [json.loads(line) for line in record.getvalue().splitlines()]
    assert len(lines) == len(told) + len(told[::7])
    assert {line["session"] for line in lines} == {one.session for one in told}


def test_what_nobody_takes_is_reported_lost() -> None:
    """With the field's own words, exit code 1, after the time that patience was given."""
    result = command(
        "simulate", "--to", f"http://127.0.0.1:{free_port()}", "--patience", 0.1,
        "--jobs", 2, "--sessions", 0, "--json",
    )  # fmt: skip
    assert result.code == 1
    assert result.facts["lost"] == 8
    assert "Some activity events could not be sent to EATS: count: 8" in result.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--to", "nowhere"], "nowhere"),
        (["--to", "localhost:99999999"], "localhost"),
        (["--to", "localhost:1", "--until", "soon"], "soon"),
        (["--to", "localhost:1", "--ca-file", "/nonexistent"], "/nonexistent"),
        (["--to", "localhost:1", "--batch", "1001"], "1001"),
        ([], "--to"),
    ],
)
def test_wrong_flags_are_named(arguments: list[str], named: str) -> None:
    """Exit code 2 and the flag or its value in the message."""
    result = command("simulate", *arguments)
    assert result.code == 2
    assert named in result.err


def test_a_certificate_that_is_not_trusted_is_wrong_usage(tmp_path: Path) -> None:
    """It is said at once, with the flags that help, instead of trying for hours."""
    with collectors(tmp_path, 1) as (one,):
        result = command("simulate", "--to", one.target, "--jobs", 500)
    assert (result.code, "--ca-file" in result.err) == (2, True)
    assert "0 events acknowledged" in result.out
