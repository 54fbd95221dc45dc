"""What a month takes over from the one before, or that this is not known."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.collector.made import event
from tests.collector.processes import Collector, Result, command, make_keys
from tests.collector.test_month_recalled import DAY, LAST
from tests.collector.test_monthly import post
from tests.collector.year.clock import HandSet
from usage_collector.periods import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from usage_collector.periods import Period

FIRST = LAST.previous
OPEN = event("open", 300, event="SESSION_STATUS", time_stamp=rfc3339(FIRST.end - 60_000_000))


@pytest.fixture
def clock(tmp_path: Path) -> HandSet:
    """It is the end of the month before the last one."""
    return HandSet(tmp_path / "clock", FIRST.end - 60_000_000)


@pytest.fixture
def two(tmp_path: Path, clock: HandSet) -> Iterator[list[Collector]]:
    """Two collectors with that clock; a session is alive at the second one."""
    made = [Collector(f"c-{n}", tmp_path, make_keys(tmp_path) | clock.environment) for n in (0, 1)]
    try:
        for one in made:
            one.start()
        post(made[1], OPEN)
        clock.set(FIRST.end)
        yield made
    finally:
        for one in made:
            one.stop()


def export(tmp_path: Path, two: list[Collector], period: Period, *to: str) -> Result:
    """Exports a month of both to these folders."""
    places = [word for name in to for word in ("--to", tmp_path / name)]
    return run(tmp_path, two, "--period", period, *places)


def run(
    tmp_path: Path, two: list[Collector], *more: object, now: dict[str, str] | None = None
) -> Result:
    """Runs the export of both."""
    peers = ",".join(one.address for one in two)
    keys = make_keys(tmp_path)
    return command(
        "export-month", "--json", "--peers", peers, *more, environment=keys | (now or {})
    )


def manifest(folder: Path, period: Period, name: str = "manifest.json") -> Any:
    """What that manifest says."""
    return json.loads((folder / str(period) / name).read_bytes())["payload"]


def test_a_month_that_is_early_says_what_it_cannot_know(
    tmp_path: Path, two: list[Collector], clock: HandSet
) -> None:
    """The one before was cut and never delivered: its sessions are counted once that is done."""
    for one in two:
        httpx.post(f"http://{one.address}/v1/periods/{FIRST}").raise_for_status()
    clock.set(FIRST.end + DAY)
    early = export(tmp_path, two, LAST, "out")
    assert (early.code, early.facts["hours"]) == (1, 0.0)
    (gap,) = early.facts["gaps"]
    assert f"what {FIRST} left over is not known" in gap
    assert export(tmp_path, two, FIRST, "out").code == 0
    again = export(tmp_path, two, LAST, "out")
    assert (again.code, again.facts["gaps"]) == (0, [])
    (estimate,) = manifest(tmp_path / "out", LAST, "manifest-2.json")["estimates"]
    assert estimate["seconds"] == 300
    assert command("verify", tmp_path / "out").code == 0


def test_the_newest_manifest_of_the_month_before_is_taken_up(
    tmp_path: Path, two: list[Collector], clock: HandSet
) -> None:
    """Also where a destination that is asked first never got it."""
    two[1].stop()
    assert export(tmp_path, two, FIRST, "old", "new").code == 1
    two[1].start()
    assert export(tmp_path, two, FIRST, "new").code == 0
    clock.set(FIRST.end + DAY)
    done = export(tmp_path, two, LAST, "old", "new")
    assert (done.code, done.facts["gaps"]) == (0, [])
    (resumed,) = manifest(tmp_path / "old", LAST)["resumed"]
    assert resumed["collector"] == "c-1"


def test_missed_months_are_caught_up_in_order(
    tmp_path: Path, two: list[Collector], clock: HandSet
) -> None:
    """Nothing ran when they were due: one run delivers both, and the next one finds nothing due."""
    clock.set(LAST.end + DAY)
    due = ("--due", "--to", tmp_path / "out")
    caught_up = run(tmp_path, two, *due, now=clock.from_now)
    assert (caught_up.code, caught_up.facts["period"]) == (0, str(LAST))
    first, last = (manifest(tmp_path / "out", period) for period in (FIRST, LAST))
    assert [len(first["files"]), len(last["files"])] == [1, 0]
    assert first["totals"]["after"]["seconds"] == 300
    assert first["collectors"][0]["cut_at"] <= last["collectors"][0]["cut_at"]
    assert run(tmp_path, two, *due, now=clock.from_now).facts["result"] == "nothing-due"
    assert command("verify", tmp_path / "out").code == 0
