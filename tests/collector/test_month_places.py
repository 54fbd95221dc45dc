"""A month to several places: a mailbox that shows nothing of what it got, and one that is dead."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.controller import Controller

from tests.collector.made import event
from tests.collector.places import Mailbox
from tests.collector.processes import (
    Collector,
    collectors,
    command,
    free_port,
    make_keys,
    simulate,
)
from tests.collector.test_monthly import MONTH, delivered, export, post
from tests.collector.year.clock import HandSet
from usage_collector.periods import Period, microseconds, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def two(tmp_path: Path) -> Iterator[list[Collector]]:
    """Two collectors, running, that hold some events."""
    with collectors(tmp_path, 2) as made:
        simulate(made, "--jobs", 20, "--sessions", 2)
        yield made


def attached(box: Mailbox) -> list[str]:
    """The names of all files that a mailbox got, in order."""
    return [name for name, _ in box.files()]


def manifests(box: Mailbox) -> list[Any]:
    """What the manifests say that a mailbox got, in order."""
    return [json.loads(body)["payload"] for name, body in box.files() if name == "manifest.json"]


def test_a_dead_mail_server_gets_later_what_it_missed(tmp_path: Path, two: list[Collector]) -> None:
    """Folders before and after it have the month; then it gets each file once, nobody more."""
    box, port = Mailbox(), free_port()
    mail = f"mailto:a@example.org?host=localhost&port={port}&tls=none&from=u@x.org"
    to = ("--to", mail, "--to", tmp_path / "after")
    result = export(tmp_path, two, *to)
    assert (result.code, result.facts["result"]) == (1, "incomplete")
    assert result.facts["delivered"] == [f"{tmp_path}/{name}/{MONTH}" for name in ("out", "after")]
    (failed,) = result.facts["failed"]
    assert f"mail server localhost:{port} cannot be reached" in failed
    before = delivered(tmp_path)
    server = Controller(box, hostname="localhost", port=port)
    server.start()
    try:
        result = export(tmp_path, two, *to)
        assert (result.code, result.facts["failed"]) == (0, [])
        assert f"{tmp_path}/out: 0 of {len(before)} files were new" in result.err
        assert sorted(attached(box)) == sorted(before)
        assert export(tmp_path, two, *to).code == 0
        assert len(attached(box)) == len(before)
    finally:
        server.stop()
    assert delivered(tmp_path) == before


def test_the_month_after_an_email_reads_the_manifest_at_the_collectors(tmp_path: Path) -> None:
    """Nobody else can show it: a session that it left over is taken up, and nothing is a gap."""
    now = datetime.now(UTC)
    last = Period.of(now).previous
    clock = HandSet(tmp_path / "clock", last.start)
    environment = make_keys(tmp_path) | clock.environment
    box, one = Mailbox(), Collector("c-0", tmp_path, environment)
    server = Controller(box, hostname="localhost", port=free_port())
    server.start()
    to = f"mailto:a@b.org?host=localhost&port={server.port}&tls=none&from=u@x.org"
    try:
        one.start()
        clock.set(microseconds(now))
        moment = rfc3339(microseconds(now) - 60_000_000)
        post(one, event("open", 300, event="SESSION_STATUS", time_stamp=moment))
        for period in (str(last), MONTH):
            done = command(
                *("export-month", "--period", period, "--peers", one.address, "--json"),
                *("--to", to),
                environment=environment,
            )
            assert (done.code, done.facts["gaps"]) == (0, []), done.err
    finally:
        one.stop()
        server.stop()
    first, second = manifests(box)
    assert (first["period"], second["period"]) == (str(last), MONTH)
    assert len(first["carried"]) == 1
    assert second["resumed"] == first["carried"]
