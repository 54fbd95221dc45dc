"""Ledgers read into the day index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.collector.samples import array, event
from tests.collector.spoiling import spoil
from usage_collector import events, export, usage
from usage_collector.errors import StorageUnavailable
from usage_collector.ledger import Ledgers, Limits, ReceiptFile
from usage_collector.periods import Period
from usage_collector.upkeep import Purger
from usage_collector.upkeep.purging import DAY_US
from usage_collector.usage import answering
from usage_collector.usage.coverage import Kind
from usage_collector.usage.feeding import Feeder
from usage_collector.usage.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OCTOBER = Period(2026, 10)
ALL = usage.Query(None, 40_000, ("day", "customer", "zone", "language"))
LATER = OCTOBER.start + 100 * DAY_US


class Setup:
    """Ledgers, and the index that is made of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledgers = Ledgers(folder, "c", "z", lambda: OCTOBER.start)
        self.open()

    def open(self) -> None:
        self.store = Store(self.folder)
        self.feeder = Feeder(self.ledgers, self.store, "c", "z")

    def send(self, first: int, number: int) -> None:
        raws = [event(n * 60, session_id=f"s{n}") for n in range(first, first + number)]
        self.ledgers.writer.append_and_wait(events.parse(array(raws)))

    def answer(self) -> dict[str, object]:
        return answering.answer(self.store, ALL)

    def count(self) -> int:
        return sum(row["count"] for row in self.answer()["groups"] or [])  # type: ignore[attr-defined]

    def purge(self) -> int:
        cut = export.cut(self.ledgers, OCTOBER, Limits(18, 10_000, 1000), OCTOBER.start)
        live = self.ledgers.live[:8]
        names = [f"usage-c-{live}-{file.first}-{file.last}.json.gz" for file in cut.files]
        files = [ReceiptFile(name, "0" * 64) for name in names]
        export.receive(self.ledgers, OCTOBER, "sent", "test", files, OCTOBER.start)
        counted = self.feeder.counted_to
        return Purger(self.ledgers, 90, hold=True, counted=counted).run(LATER)

    def forget(self) -> None:
        """Delete the index and make it anew."""
        self.store.close()
        for path in self.folder.glob("usage-*.db*"):
            path.unlink()
        self.open()
        assert self.count() == 0
        self.feeder.run(LATER)


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    """Empty ledgers and an empty index."""
    made = Setup(tmp_path)
    yield made
    made.store.close()
    made.ledgers.close()


def test_everything_stored_is_counted_once(setup: Setup) -> None:
    """Each event counts once, however often the ledgers are read, also after a restart."""
    setup.send(0, 300)
    setup.feeder.run(LATER)
    assert setup.count() == 300
    setup.send(300, 150)
    assert setup.feeder.behind() == 150
    setup.feeder.catch_up(LATER, 60)
    assert setup.feeder.behind() == 0
    setup.store.close()
    setup.open()
    setup.feeder.run(LATER)
    assert setup.count() == 450


def test_nobody_else_may_read_the_index(setup: Setup) -> None:
    """Who used how much is nobody's business, whoever may look into the folder."""
    setup.send(0, 10)
    for _ in range(2):
        setup.feeder.run(LATER)
        files = [*setup.folder.glob("usage-*")]
        assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
        setup.store.close()
        for path in files:
            path.chmod(0o644)
        setup.open()


def test_what_is_not_counted_is_told(setup: Setup) -> None:
    """Nothing is said to be complete before it was read, nor later than it was."""
    setup.send(0, 10)
    (trouble,) = setup.feeder.troubles(LATER)
    assert trouble.since is None
    setup.feeder.run(LATER)
    assert setup.feeder.troubles(LATER) == []
    setup.send(10, 10)
    (trouble,) = setup.feeder.troubles(LATER + 1)
    assert trouble.since == LATER
    setup.feeder.catch_up(LATER + 1, 60)
    assert setup.feeder.troubles(LATER + 1) == []


def test_an_index_made_anew_takes_nothing_meant_for_the_old(setup: Setup) -> None:
    """Whoever read on from the old index's positions is refused, and begins at the start."""
    setup.send(0, 10)
    setup.feeder.run(LATER)
    setup.store.renew("for the test")
    setup.send(10, 10)
    setup.feeder.run(LATER)
    assert setup.count() == 0
    setup.feeder.recall()
    setup.feeder.run(LATER)
    assert setup.count() == 20


def test_nobody_reads_an_old_index_with_the_texts_of_a_new_one(setup: Setup) -> None:
    """Whoever was reading when it was made anew is refused: usage would be another customer's."""
    setup.send(0, 10)
    setup.feeder.run(LATER)
    reading = setup.store.reading()
    assert reading.__enter__().execute("SELECT count(*) FROM sessions").get == 10
    setup.store.renew("for the test")
    with pytest.raises(StorageUnavailable, match="made anew"):
        reading.__exit__(None, None, None)
    assert setup.count() == 0


def test_an_index_made_anew_answers_the_same(setup: Setup) -> None:
    """Nothing is in the index that is not in the ledgers."""
    setup.send(0, 450)
    setup.feeder.run(LATER)
    before = setup.answer()
    setup.forget()
    assert setup.answer() == before


def test_purged_events_stay_counted(setup: Setup) -> None:
    """Purging changes no answer; an index made anew afterwards still has each job and its hours.

    Whose they were it does not know, and says so.
    """
    setup.send(0, 450)
    setup.feeder.run(LATER)
    before = setup.answer()
    assert setup.purge() == 400
    setup.feeder.run(LATER)
    assert setup.answer() == before
    assert setup.feeder.troubles(LATER) == []
    setup.forget()
    (trouble,) = setup.feeder.troubles(LATER)
    assert "positions up to 400 were gone" in trouble.reason
    assert (trouble.since, trouble.until) == (OCTOBER.start, OCTOBER.start)
    known = [
        sum(row[name] for row in answered["groups"])  # type: ignore[attr-defined]
        for answered in (before, setup.answer())
        for name in ("count", "duration_hrs")
    ]
    assert known[0] == known[2] == 450
    assert known[1] == pytest.approx(known[3])
    languages = {row["language"] for row in setup.answer()["groups"]}  # type: ignore[attr-defined]
    assert languages == {"en", "unknown"}


def test_what_is_not_counted_yet_is_not_purged(setup: Setup) -> None:
    """Purging waits for the index."""
    setup.send(0, 450)
    assert setup.purge() == 0
    setup.feeder.run(LATER)
    assert setup.purge() == 400


def test_a_clock_that_ran_ahead_hides_no_backlog(setup: Setup) -> None:
    """Once it is right again, events that are not counted yet are told within a minute."""
    now = OCTOBER.start
    setup.feeder.run(LATER)
    setup.feeder.run(now)
    setup.send(0, 3)
    (trouble,) = setup.feeder.troubles(now + 61 * 10**6)
    assert trouble.kind == Kind.BEHIND
    setup.feeder.run(now + 61 * 10**6)
    assert setup.feeder.troubles(now + 61 * 10**6) == []


def test_events_that_cannot_be_read_are_told_whoever_read_on_behind_them(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where reading ends in the middle, by a restart or because nobody waits for it longer."""
    for first in range(0, 400, 50):
        setup.send(first, 50)
    hurt = spoil(setup.ledgers, 101, 301)
    setup.ledgers.writer.set_aside(hurt, "a page is damaged")
    setup.ledgers.flush_head()
    fold = setup.store.fold

    def fold_and_stop(*given: Any, **named: Any) -> None:
        fold(*given, **named)
        setup.feeder.stop()

    monkeypatch.setattr("usage_collector.usage.feeding._AT_ONCE", 1)
    monkeypatch.setattr(setup.store, "fold", fold_and_stop)
    while setup.feeder.behind():
        setup.feeder = Feeder(setup.ledgers, setup.store, "c", "z")
        setup.feeder.run(LATER)
    told = [trouble.reason for trouble in setup.feeder.troubles(LATER)]
    assert f"ledger {hurt}: 200 events cannot be read" in told
    assert setup.count() == 200
