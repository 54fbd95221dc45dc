"""The check that goes on in the background."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.collector.process import CollectorProcess
from tests.collector.samples import array, event
from usage_collector import events
from usage_collector.ledger import Ledgers
from usage_collector.ledger.sqlite import open_writer
from usage_collector.upkeep import scrub

if TYPE_CHECKING:
    from pathlib import Path


def _open(folder: Path) -> Ledgers:
    return Ledgers(folder, "c", "z", lambda: 1)


def _filled(folder: Path, number: int = 2150) -> Ledgers:
    ledgers = _open(folder)
    for start in range(0, number, 50):
        raws = [event(start + n, noise="x" * (n * 20)) for n in range(50)]
        ledgers.writer.append_and_wait(events.parse(array(raws)))
    return ledgers


def test_a_sound_ledger_is_read_whole(tmp_path: Path) -> None:
    """Every event is counted, in steps, and what comes meanwhile does no harm."""
    ledgers = _filled(tmp_path)
    found = []
    for step in scrub(ledgers):
        found.append(step)
        ledgers.writer.append_and_wait(events.parse(event()))
    assert (sum(found), max(found)) == (2150, 500)
    assert not ledgers.all()[0].damaged
    ledgers.close()


def test_a_purge_that_overtakes_it_is_no_damage(tmp_path: Path) -> None:
    """It goes on with what is still there."""
    ledgers = _filled(tmp_path)
    steps = scrub(ledgers)
    next(steps)
    ledgers.purge(ledgers.live, 1200, 1200)
    assert sum(steps) == 950
    assert not ledgers.all()[0].damaged
    ledgers.close()


@pytest.mark.parametrize("table", ["blocks", "ids"])
def test_a_damaged_page_sets_the_ledger_aside(tmp_path: Path, table: str) -> None:
    """Nobody asked for these events: the scrub finds them first, and a new ledger begins."""
    ledgers = _filled(tmp_path)
    old = ledgers.live
    ledgers.close()
    database = ledgers.catalog.path(old) / "events.db"
    connection = open_writer(database)
    sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
    page = int(connection.execute(sql, (table,)).get)
    connection.close()
    with database.open("r+b") as file:
        file.seek((page - 1) * 4096 + 4000)
        (byte,) = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))
    ledgers = _open(tmp_path)
    for _ in scrub(ledgers):
        pass
    ledgers.writer.append_and_wait(events.parse(event()))
    assert ledgers.live != old
    assert ledgers.all()[0].damaged
    ledgers.close()


def test_an_altered_chain_is_found(tmp_path: Path) -> None:
    """Checksums that fit do not make other events of it."""
    ledgers = _filled(tmp_path)
    old = ledgers.live
    ledgers.close()
    connection = open_writer(ledgers.catalog.path(old) / "events.db")
    connection.execute("UPDATE marks SET hash = zeroblob(32) WHERE position = 700")
    connection.close()
    ledgers = _open(tmp_path)
    assert sum(scrub(ledgers)) < 700
    assert "before position 700" in (ledgers.all()[0].problem or "")
    ledgers.close()


def test_a_running_collector_scrubs_and_tells(tmp_path: Path) -> None:
    """After the start its metrics say how far the check is, and that it got to the end."""
    with CollectorProcess(tmp_path / "data", EATS_SECURE="false") as collector:
        raws = [event(number) for number in range(900)]
        httpx.post(collector.ingest_url + "/v1/log", content=array(raws)).raise_for_status()
        assert collector.stop() == 0
        collector.start()
        deadline = time.monotonic() + 60
        while not re.search(
            r"^usage_check_timestamp_seconds [1-9]",
            text := httpx.get(collector.reporting_url + "/metrics").text,
            re.MULTILINE,
        ):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert "usage_checked_events 900.0" in text
