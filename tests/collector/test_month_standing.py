"""What was delivered of a month stays in it, whatever becomes of collectors afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
from aiosmtpd.controller import Controller

from tests.collector.made import event
from tests.collector.places import Mailbox
from tests.collector.processes import Collector, collectors, command, free_port, make_keys
from tests.collector.test_month_recalled import DAY, LAST, lose
from tests.collector.test_monthly import MONTH, delivered, export, manifest, post
from tests.collector.year.clock import HandSet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def two(tmp_path: Path) -> Iterator[list[Collector]]:
    """Two collectors, each with a job."""
    with collectors(tmp_path, 2) as made:
        for number, one in enumerate(made):
            post(one, event(f"job-{number}", 60))
        yield made


def test_a_collector_away_takes_nothing_from_a_month_that_has_its_part(
    tmp_path: Path, two: list[Collector]
) -> None:
    """The run says who is silent; the delivery stays as it is, and a new place gets all of it."""
    assert export(tmp_path, two).code == 0
    before = delivered(tmp_path)
    two[0].stop()
    done = export(tmp_path, two, "--to", tmp_path / "new")
    assert (done.code, done.facts["result"]) == (1, "incomplete")
    assert done.facts["gaps"] == [f"http://{two[0].address}: did not answer"]
    assert (done.facts["files"], len(done.facts["delivered"])) == (2, 2)
    assert delivered(tmp_path) == before
    new = {path.name: path.read_bytes() for path in (tmp_path / "new" / MONTH).iterdir()}
    assert new == before
    assert command("verify", tmp_path / "new").code == 0


def test_an_heir_delivers_nothing_again(tmp_path: Path, two: list[Collector]) -> None:
    """What was delivered of a ledger that came to another collector keeps its name, also later."""
    assert export(tmp_path, two).code == 0
    before, (lost, heir) = delivered(tmp_path), two
    assert command("backup", "--from", lost.address, "--to", tmp_path / "backups").code == 0
    lost.stop()
    back = ("restore", tmp_path / "backups", "--collector", lost.name, "--to", heir.address)
    assert command(*back).code == 0
    done = export(tmp_path, [heir], "--to", tmp_path / "new")
    assert (done.code, done.facts["files"], len(done.facts["delivered"])) == (1, 2, 2), done.err
    assert "began anew" in done.facts["gaps"][0]
    assert delivered(tmp_path) == before
    assert command("verify", tmp_path / "new").code == 0
    ledgers = httpx.get(f"http://{heir.address}/v1/periods").json()["ledgers"]
    assert [one["sent"] for one in ledgers] == [one["last"] for one in ledgers]


_LATER = """
from usage_collector import report
made = report.as_csv
report.as_csv = lambda body: made(body) + b"made otherwise"
from usage_collector.cli import main
main()
"""


def test_another_page_of_a_later_version_is_no_news(tmp_path: Path, two: list[Collector]) -> None:
    """The month stays as it was delivered, to a new place too."""
    assert export(tmp_path, two).code == 0
    before = delivered(tmp_path)
    asked = ["export-month", "--period", MONTH, "--peers", ",".join(one.address for one in two)]
    places = ["--to", str(tmp_path / "new"), "--to", str(tmp_path / "out")]
    environment = {**os.environ, **make_keys(tmp_path)}
    later = [sys.executable, "-c", _LATER, *asked, *places]
    assert subprocess.run(later, env=environment, check=False).returncode == 0
    assert delivered(tmp_path) == before
    assert {path.name: path.read_bytes() for path in (tmp_path / "new" / MONTH).iterdir()} == before


def test_a_mailbox_is_not_sent_less_of_a_month_that_it_has(
    tmp_path: Path, two: list[Collector]
) -> None:
    """Nobody can show the packages; nothing is sent, and a new mailbox is told that it waits."""
    box = Mailbox()
    server = Controller(box, hostname="localhost", port=free_port())
    server.start()
    try:
        options = f"host=localhost&port={server.port}&tls=none&from=u@x.org"
        peers = ",".join(one.address for one in two)
        asked = ["export-month", "--period", MONTH, "--peers", peers, "--json", "--to"]
        first, other = f"mailto:a@b.org?{options}", f"mailto:c@d.org?{options}"
        keys = make_keys(tmp_path)
        assert command(*asked, first, environment=keys).code == 0
        got = len(box.got)
        two[0].stop()
        done = command(*asked, first, "--to", other, environment=keys)
        assert (done.code, done.facts["result"]) == (1, "incomplete")
        assert done.facts["delivered"] == ["mailto:a@b.org"]
        (failed,) = done.facts["failed"]
        assert failed.startswith("mailto:c@d.org lacks packages that nobody shows now")
        assert len(box.got) == got
        two[0].start()
        assert command(*asked, first, "--to", other, environment=keys).code == 0
        assert [one["To"] for one in box.got[got:]] == ["c@d.org"] * got
    finally:
        server.stop()


def test_a_volume_lost_after_the_cut_takes_nothing_from_the_month(tmp_path: Path) -> None:
    """What came to the empty one is added; the loss is a gap of the month after."""
    clock = HandSet(tmp_path / "clock", LAST.start)
    made = [Collector(f"c-{n}", tmp_path, make_keys(tmp_path) | clock.environment) for n in (0, 1)]
    try:
        for one in made:
            one.start()
        post(made[0], event("a", 60))
        post(made[1], event("b", 60))
        clock.set(LAST.start + DAY)
        assert export(tmp_path, made, "--period", LAST).code == 0
        clock.set(LAST.start + 2 * DAY)
        lose(made[0])
        post(made[0], event("a", 60), event("c", 60))
        clock.set(LAST.start + 3 * DAY)
        done = export(tmp_path, made, "--period", LAST)
        assert (done.code, done.facts["files"], done.facts["hours"]) == (0, 3, 0.05)
        assert command("verify", tmp_path / "out").code == 0
        clock.set(LAST.end + DAY)
        post(made[1], event("a", 60))
        clock.set(LAST.end + 2 * DAY)
        done = export(tmp_path, made)
        assert (done.code, done.facts["hours"]) == (1, 0.0)
        assert ["no longer there" in gap for gap in done.facts["gaps"]] == [True]
        assert len(manifest(tmp_path)["duplicates"]) == 1
    finally:
        for one in made:
            one.stop()
