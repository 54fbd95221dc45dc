"""Purging and checking."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from tests.collector.samples import array, event
from usage_collector import events, export
from usage_collector.ledger import Block, Ledgers, Limits, Load, ReceiptFile, purging
from usage_collector.periods import Period
from usage_collector.upkeep import Purger, check, purgeable
from usage_collector.upkeep.purging import DAY_US

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

OCTOBER = Period(2026, 10)
LATER = OCTOBER.start + 100 * DAY_US


@given(
    st.lists(st.tuples(st.integers(1, 130), st.integers(0, 100)), max_size=20),
    st.integers(0, 100),
    st.integers(0, 50),
    st.none() | st.integers(0, 2000),
)
def test_only_an_old_and_sent_prefix_is_purgeable(
    shape: list[tuple[int, int]], before: int, days: int, sent: int | None
) -> None:
    """Nothing young and nothing unsent is ever purged, and only up to a mark.

    A block is as old as its date says, or, dated in the future, as the next that is not.
    """
    blocks, first = [], 1
    for count, received in shape:
        blocks.append(Block(first, count, received, 0, Load()))
        first += count
    end = purgeable(blocks, before, before + days, sent)
    assert end % 100 == 0
    assert sent is None or end <= sent
    gone = [block for block in blocks if block.first <= end]
    assert not any(before <= block.received <= before + days for block in gone)
    assert not gone or any(b.received < before for b in blocks[len(gone) - 1 :])


def test_what_was_dated_in_the_future_goes_with_what_came_after_it() -> None:
    """A clock that was wrong for a while does not keep everything behind it for years."""
    days = [0, 0, 9999, 9999, 1, 50]
    blocks = [Block(1 + 100 * n, 100, day, 0, Load()) for n, day in enumerate(days)]
    assert purgeable(blocks, 1, 60, None) == 200
    assert purgeable(blocks, 2, 60, None) == 500
    assert purgeable(blocks, 2, 60, 450) == 400


def _filled(folder: Path, now: list[int]) -> Ledgers:
    ledgers = Ledgers(folder, "c", "z", lambda: now[0])
    for start in range(0, 450, 150):
        raws = [event(start + i) for i in range(150)]
        ledgers.writer.append_and_wait(events.parse(array(raws)))
    return ledgers


def _purge(ledgers: Ledgers, *, hold: bool) -> int:
    return Purger(ledgers, 90, hold=hold).run(LATER)


def test_unsent_events_are_held_and_sent_ones_purged(tmp_path: Path) -> None:
    """With the hold, purging waits for a receipt; chain and identities stay afterwards."""
    now = [OCTOBER.start]
    ledgers = _filled(tmp_path, now)
    cut = export.cut(ledgers, OCTOBER, Limits(18, 10_000, 1000), now[0])
    with ledgers.reader() as reader:
        chain = reader.chain(431, 450)
    before = b"".join(export.sessions(ledgers, OCTOBER))
    assert before.count(b"\n") == 450
    assert _purge(ledgers, hold=True) == 0
    name = f"usage-c-{ledgers.live[:8]}-1-450.json.gz"
    delivered = [ReceiptFile(name, hashlib.sha256(b"").hexdigest())]
    export.receive(ledgers, OCTOBER, "exported", "me", delivered, LATER)
    assert _purge(ledgers, hold=True) == 0
    export.receive(ledgers, OCTOBER, "sent", "me", delivered, LATER)
    assert ledgers.oldest_unsent() is None
    assert _purge(ledgers, hold=True) == 400
    status = ledgers.all()[0]
    assert (status.first, status.last) == (401, 450)
    with ledgers.reader() as reader:
        assert reader.chain(431, 450) == chain
        assert len(list(reader.filed(None, None))) == 50
    assert b"".join(export.sessions(ledgers, OCTOBER)) == before
    assert export.cut(ledgers, OCTOBER, Limits(1, 1, 1), LATER).files == cut.files
    live = ledgers.live
    ledgers.close()
    ledgers = Ledgers(tmp_path, "c", "z", lambda: LATER)
    assert ledgers.live == live
    ledgers.close()
    assert not check(tmp_path, lambda *_: None).findings


def _purged_unsent(ledgers: Ledgers) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = export.describe_periods(ledgers, "c", "z")["ledgers"][0][
        "purged_unsent"
    ]
    return found


def test_without_the_hold_old_events_go_and_leave_a_recorded_gap(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Purging what was not sent names the positions, for good; what was sent after all is none."""
    now = [OCTOBER.start]
    ledgers = _filled(tmp_path, now)
    cut = export.cut(ledgers, OCTOBER, Limits(18, 250, 1000), now[0])
    assert [file.last for file in cut.files] == [250, 450]
    assert _purged_unsent(ledgers) == []
    assert _purge(ledgers, hold=False) == 400
    assert "not sent" in caplog.text
    assert _purged_unsent(ledgers) == [(1, 400)]
    ledgers.close()
    ledgers = Ledgers(tmp_path, "c", "z", lambda: OCTOBER.start)
    raws = [event(1000 + i) for i in range(150)]
    ledgers.writer.append_and_wait(events.parse(array(raws)))
    assert _purge(ledgers, hold=False) == 200
    assert _purged_unsent(ledgers) == [(1, 600)]
    name = f"usage-c-{ledgers.live[:8]}-1-250.json.gz"
    delivered = [ReceiptFile(name, hashlib.sha256(b"").hexdigest())]
    export.receive(ledgers, OCTOBER, "sent", "me", delivered, LATER)
    assert _purged_unsent(ledgers) == [(251, 600)]
    ledgers.close()


def test_billing_identities_are_kept_for_13_months_after_their_receipt(tmp_path: Path) -> None:
    """Then they go, by when they were received, whatever time their events claim to be of."""
    now = [OCTOBER.start]
    ledgers = _filled(tmp_path, now)
    now[0] += 40 * DAY_US
    raws = [event(n, time_stamp="1999-01-01T00:00:00Z") for n in range(1150)]
    for start in (0, 575):
        ledgers.writer.append_and_wait(events.parse(array(raws[start : start + 575])))
    purger = Purger(ledgers, 90, hold=False)

    def kept(day: int) -> int:
        purger.run(OCTOBER.start + day * DAY_US)
        return len(list(ledgers.identities([(ledgers.live, 1, 1600)])))

    assert kept(91) == 1600
    assert ledgers.all()[0].first == 401
    assert kept(131) == 1600
    assert ledgers.all()[0].first == 1601
    assert kept(395) == 1600
    assert kept(397) == 1200
    assert kept(435) == 1200
    assert kept(437) == 0
    ledgers.close()
    assert not check(tmp_path, lambda *_: None).findings


def test_purging_what_was_sent_leaves_no_gap(tmp_path: Path) -> None:
    """Without the hold, too, only positions beyond what was sent are a gap."""
    ledgers = _filled(tmp_path, [OCTOBER.start])
    cut = export.cut(ledgers, OCTOBER, Limits(18, 250, 1000), OCTOBER.start)
    name = f"usage-c-{ledgers.live[:8]}-1-{cut.files[0].last}.json.gz"
    delivered = [ReceiptFile(name, hashlib.sha256(b"").hexdigest())]
    export.receive(ledgers, OCTOBER, "sent", "me", delivered, LATER)
    assert _purge(ledgers, hold=False) == 400
    assert _purged_unsent(ledgers) == [(251, 400)]
    ledgers.close()


def test_purging_goes_by_small_steps_and_gives_its_room_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wants to store something meanwhile waits for one step, of a hundred events."""
    now = [OCTOBER.start]
    ledgers = _filled(tmp_path, now)
    for start in range(1000, 1500, 100):
        numbers = range(start, start + 100)
        raws = [event(n, noise=random.Random(n).randbytes(2000).hex()) for n in numbers]
        ledgers.writer.append_and_wait(events.parse(array(raws)))
    ledgers.close()
    before = sum(path.stat().st_size for path in tmp_path.rglob("events.db"))
    ledgers = Ledgers(tmp_path, "c", "z", lambda: now[0])
    done: list[str] = []
    step = purging.step

    def noted(*given: Any) -> bool:
        first = given[1].bounds()[0]
        more = step(*given)
        done.append(f"{first} to {given[1].bounds()[0] - 1}")
        if len(done) == 1:
            ledgers.writer.call(lambda _: done.append("something else"))
        return more

    monkeypatch.setattr(purging, "step", noted)
    assert _purge(ledgers, hold=False) == 900
    assert done[:3] == ["1 to 100", "something else", "101 to 200"]
    assert done[-1] == "801 to 900"
    assert len(done) == 10
    ledgers.close()
    assert sum(path.stat().st_size for path in tmp_path.rglob("events.db")) < before / 2


def test_check_finds_nothing_wrong_while_the_ledger_is_in_use(tmp_path: Path) -> None:
    """A healthy ledger has no findings, running or not, and all events are counted."""
    ledgers = _filled(tmp_path, [OCTOBER.start])
    for _ in range(2):
        report = check(tmp_path, lambda *_: None)
        assert (report.findings, report.events) == ([], 450)
        ledgers.close()


def test_check_names_what_is_lost(tmp_path: Path) -> None:
    """A changed page is found, and a head that is ahead with the very positions it is ahead by."""
    ledgers = _filled(tmp_path, [OCTOBER.start])
    folder = ledgers.catalog.path(ledgers.live)
    ledgers.close()
    database = folder / "events.db"
    whole = database.read_bytes()
    database.write_bytes(whole[:20_000] + bytes([whole[20_000] ^ 1]) + whole[20_001:])
    assert check(tmp_path, lambda *_: None).findings
    database.write_bytes(whole)
    assert not check(tmp_path, lambda *_: None).findings
    ledgers = Ledgers(tmp_path, "c", "z", lambda: OCTOBER.start)
    ledgers.writer.append_and_wait(events.parse(array([event(1000 + i) for i in range(7)])))
    ledgers.close()
    database.write_bytes(whole)
    told = [one.what for one in check(tmp_path, lambda *_: None).findings]
    assert any("positions 451 to 457" in what for what in told), told
    assert not any("450" in what or "458" in what for what in told), told
    (folder / "head").unlink()
    assert "head" in check(tmp_path, lambda *_: None).findings[0].what
