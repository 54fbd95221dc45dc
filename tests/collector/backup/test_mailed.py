"""Losses where a mailbox is all that got the months: what was attached is enough to go on."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.controller import Controller

from tests.collector.backup.test_backup import lose
from tests.collector.made import event
from tests.collector.places import Mailbox
from tests.collector.processes import Collector, command, free_port, make_keys
from tests.collector.test_monthly import post
from tests.collector.year.clock import HandSet
from usage_collector.peers import Peer
from usage_collector.periods import Period, microseconds, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.collector.processes import Result

NOW = datetime.now(UTC)
THIS = Period.of(NOW)
LAST = THIS.previous
JOBS = [event(f"job-{number}", 60 + number) for number in range(3)]


class Office:
    """Two collectors that began last month, and a mailbox that gets what they report."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = HandSet(folder / "clock", LAST.start)
        self.keys = make_keys(folder) | self.clock.environment
        self.two = [Collector(f"c-{number}", folder, self.keys) for number in (0, 1)]
        self.box = Mailbox()
        self.server = Controller(self.box, hostname="localhost", port=free_port())

    @property
    def peers(self) -> str:
        return ",".join(one.address for one in self.two)

    def export(self, *words: object) -> Result:
        """A run for the mailbox."""
        to = f"mailto:a@b.org?host=localhost&port={self.server.port}&tls=none&from=u@x.org"
        asked = ("export-month", "--peers", self.peers, "--to", to, "--json", *words)
        return command(*asked, environment=self.keys)

    def saved(self) -> Path:
        """A folder with last month's attachments, as a person keeps them."""
        folder = self.folder / "saved" / str(LAST)
        folder.mkdir(parents=True)
        for name, body in self.box.files():
            (folder / name).write_bytes(body)
        return folder.parent

    def manifests(self) -> list[Any]:
        """What the manifests say that came, in order."""
        files = self.box.files()
        return [json.loads(body)["payload"] for name, body in files if name == "manifest.json"]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Last month was mailed: three jobs and a session that goes on, and a job of the second."""
    made = Office(tmp_path)
    with ExitStack() as stack:
        made.server.start()
        stack.callback(made.server.stop)
        for one in made.two:
            one.start()
            stack.callback(one.stop)
        made.clock.set(microseconds(NOW))
        moment = rfc3339(microseconds(NOW) - 60_000_000)
        post(made.two[0], *JOBS, event("open", 300, event="SESSION_STATUS", time_stamp=moment))
        post(made.two[1], event("other", 7))
        done = made.export("--period", LAST)
        assert (done.code, done.facts["gaps"]) == (0, []), done.err
        yield made


def test_all_comes_back_from_a_mailbox(office: Office) -> None:
    """Packages and manifest: what was billed is in no month again, what went on is counted next."""
    saved = office.saved()
    for one in office.two:
        lose(one)
    restored = command("restore", saved, "--to", office.peers, "--json")
    assert restored.code == 0, restored.err
    words = ("--period", LAST, "--by", "mailto:a@b.org", "--peers", office.peers)
    held = saved / str(LAST) / "manifest.json"
    assert command("acknowledge", *words, "--manifest", held).code == 0
    before = len(office.box.got)
    due = office.export("--due", "--day", 1, "--at", "00:00")
    assert (due.facts["result"], len(office.box.got)) == ("nothing-due", before), due.err
    post(office.two[0], *JOBS, event("new", 5))
    done = office.export("--period", THIS)
    assert not [gap for gap in done.facts["gaps"] if "came back" not in gap], done.facts["gaps"]
    first, second = office.manifests()
    assert second["resumed"] == first["carried"]
    assert len(second["resumed"]) == 1
    assert second["totals"]["after"]["count"] == 1


def test_packages_that_were_mailed_tell_what_was_billed(office: Office) -> None:
    """Saved to a folder that the month goes to as well; without it they would count twice."""
    saved = office.saved()
    lose(office.two[0])
    post(office.two[1], *JOBS, event("new", 5))
    office.clock.set(microseconds(NOW) + 60_000_000)
    done = office.export("--period", THIS, "--to", saved)
    assert not [gap for gap in done.facts["gaps"] if "cannot be told" in gap], done.facts["gaps"]
    _, second = office.manifests()
    assert second["totals"]["after"]["count"] == 1
    assert [one["of"]["period"] for one in second["duplicates"]] == [str(LAST)] * len(JOBS)


def test_what_the_mailbox_never_got_is_not_acknowledged(office: Office) -> None:
    """Who took over another's ledger and has a cut of its own to deliver still owes the month."""
    saved = office.saved()
    for one in office.two:
        lose(one)
    held = saved / str(LAST) / "manifest.json"
    post(office.two[1], event("late", 9))
    with Peer(f"http://{office.two[1].address}") as peer:
        peer.cut(str(LAST), {"megabytes": 18, "batch_jobs": 10_000, "realtime_hours": 1250})
    restored = command("restore", saved, "--to", office.peers, "--json")
    assert restored.code == 0, restored.err
    words = ("--period", LAST, "--by", "mailto:a@b.org", "--peers", office.peers)
    done = command("acknowledge", *words, "--manifest", held, "--json")
    assert (done.code, list(done.facts["noted"])) == (1, [office.two[0].name])
    assert len(done.facts["failed"]) == 1
    with Peer(f"http://{office.two[1].address}") as peer:
        cut = peer.status().cut(str(LAST))
    assert cut
    assert not cut.receipts
