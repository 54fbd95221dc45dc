"""Months after a loss: what was delivered once is told by its packages where no collector can."""

from __future__ import annotations

import io
import json
import shutil
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.collector.made import KEYS, event
from tests.collector.processes import Collector, command, make_keys
from tests.collector.test_monthly import MONTH, export, manifest, post
from tests.collector.year.clock import HandSet
from usage_collector.monthly.fetching import Fetched
from usage_collector.monthly.recalling import untold
from usage_collector.packages import manifest as manifests
from usage_collector.packages.contents import MANIFEST
from usage_collector.peers import Cut, CutFile, Ledger, Status
from usage_collector.periods import Period, microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime.now(UTC)
LAST = Period.of(NOW).previous
DAY = 86_400_000_000
JOBS = [event(f"job-{number}", 60 + number) for number in range(5)]


@pytest.fixture
def clock(tmp_path: Path) -> HandSet:
    """It is the month before this one."""
    return HandSet(tmp_path / "clock", LAST.start)


@pytest.fixture
def two(tmp_path: Path, clock: HandSet) -> Iterator[list[Collector]]:
    """Two collectors with that clock; the first has five jobs, the second one of its own."""
    made = [Collector(f"c-{n}", tmp_path, make_keys(tmp_path) | clock.environment) for n in (0, 1)]
    with ExitStack() as stack:
        for one in made:
            one.start()
            stack.callback(one.stop)
        post(made[0], *JOBS)
        post(made[1], event("other", 7))
        clock.set(LAST.start + DAY)
        yield made


def lose(one: Collector) -> None:
    """Its volume is gone, and an empty one takes its place."""
    one.stop()
    shutil.rmtree(one.data)
    one.start()


def counted(tmp_path: Path) -> tuple[int, list[object]]:
    """How many jobs this month counts, and of which months those are that it leaves out."""
    body = manifest(tmp_path)
    earlier = [line["of"].get("period") for line in body["duplicates"]]
    return body["totals"]["after"]["count"], earlier


@pytest.mark.parametrize("gone", ["lost", "given up", "away"])
def test_what_a_collector_cannot_tell_is_read_from_its_packages(
    tmp_path: Path, two: list[Collector], clock: HandSet, gone: str
) -> None:
    """Jobs of last month that come again at another collector are left out, and it is proved."""
    assert export(tmp_path, two, "--period", LAST).code == 0
    clock.set(microseconds(NOW))
    if gone == "lost":
        lose(two[0])
    else:
        two[0].stop()
    post(two[1], *JOBS, event("new", 3))
    clock.set(microseconds(NOW) + 60_000_000)
    peers = two[1:] if gone == "given up" else two
    done = export(tmp_path, peers, "--retired", two[0].name)
    assert counted(tmp_path) == (1, [str(LAST)] * 5)
    assert done.code == (0 if gone == "given up" else 1)
    assert len(done.facts["gaps"]) == done.code
    if gone != "given up":
        # What is lost may be of any day.
        days = manifest(tmp_path)["coverage"]["days"]
        partly = {line["day"] for line in days if line["coverage"] < 1}
        assert partly == {line["day"] for line in days}
    report = command("verify", tmp_path / "out", "--json").facts
    assert [one["kind"] for one in report["findings"]] == ["gap"] * done.code
    assert report["notes"] == []
    before = {path.name: path.read_bytes() for path in (tmp_path / "out" / MONTH).iterdir()}
    assert export(tmp_path, peers, "--retired", two[0].name).code == done.code
    after = {path.name: path.read_bytes() for path in (tmp_path / "out" / MONTH).iterdir()}
    assert after == before


def test_a_warm_up_that_comes_again_stands_in_both_months_and_is_billed_in_none(
    tmp_path: Path, two: list[Collector], clock: HandSet
) -> None:
    """At another collector; warm-ups have no billing identity that would tell."""
    warm = event("warm", 2, contract_id="-77777777777777")
    post(two[0], warm)
    assert export(tmp_path, two, "--period", LAST).code == 0
    clock.set(microseconds(NOW))
    post(two[1], warm)
    clock.set(microseconds(NOW) + 60_000_000)
    assert export(tmp_path, two).code == 0
    text = (tmp_path / "out" / str(LAST) / "manifest.json").read_text()
    for body, billed in ((json.loads(text)["payload"], len(JOBS) + 1), (manifest(tmp_path), 0)):
        total = body["totals"]["after"]
        assert (total["count"], total["warm_ups"]["count"]) == (billed, 1)
    assert command("verify", tmp_path / "out").code == 0


def test_without_the_packages_it_is_counted_again_and_found_by_whoever_has_them(
    tmp_path: Path, two: list[Collector], clock: HandSet
) -> None:
    """A package not as it was delivered tells nothing; the loss is a gap, and so is that."""
    assert export(tmp_path, two, "--period", LAST).code == 0
    clock.set(microseconds(NOW))
    lose(two[0])
    post(two[1], *JOBS)
    clock.set(microseconds(NOW) + 60_000_000)
    (package,) = (tmp_path / "out" / str(LAST)).glob("usage-c-0-*.gz")
    whole = package.read_bytes()
    package.write_bytes(whole[:-20])
    done = export(tmp_path, two)
    assert (done.code, counted(tmp_path)) == (1, (5, []))
    lost, again = sorted(done.facts["gaps"], key=len)
    assert "no longer there" in again
    assert lost == f"c-0: what was counted in {LAST} cannot be told, so it may be counted again"
    package.write_bytes(whole)
    findings = command("verify", tmp_path / "out", "--json").facts["findings"]
    assert sorted({one["kind"] for one in findings}) == ["gap", "twice"]


def test_a_ledger_that_came_back_without_its_beginning_tells_of_the_rest_only(
    tmp_path: Path,
) -> None:
    """Packages of what was purged before its backup, or not brought back, are read again."""
    lines = [{"ledger": "l", "first": n, "last": n + 99} for n in (1, 101, 201)]
    body = {"typ": MANIFEST, "period": "2026-09", "revision": 1, "files": lines}
    before = manifests.read(io.BytesIO(manifests.signed(body, KEYS)), {})

    def fetched(first: int, *, restored: bool) -> Fetched:
        cut = Cut("2026-09", NOW, files=[CutFile("l", n, n + 99, 100) for n in (1, 101)])
        ledger = Ledger("l", "closed", NOW, first, 300, restored=restored)
        status = Status("c-0", [ledger], [cut])
        return Fetched(status, cut, (), {}, (("2026-09", tmp_path),), ())

    assert untold(before, [fetched(101, restored=True)]) == [lines[0], lines[2]]
    assert untold(before, [fetched(101, restored=False)]) == [lines[2]]
    assert untold(before, []) == lines
