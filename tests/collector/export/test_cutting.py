"""Cuts: each position in exactly one period, for ever."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collector.samples import array, event
from usage_collector import events, export
from usage_collector.errors import Conflict, Damaged, StorageUnavailable
from usage_collector.keystore import Keystore
from usage_collector.ledger import Ledgers, Limits, Reader
from usage_collector.periods import Period, Window

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = Limits(18, 10, 1000)
NOW = Period(2030, 1).start


def _store(ledgers: Ledgers, count: int) -> None:
    ledgers.writer.append_and_wait(events.parse(array([event(i) for i in range(count)])))


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 45), min_size=1, max_size=5), st.integers(1, 50))
def test_each_position_is_in_exactly_one_file_of_one_period(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], jobs: int
) -> None:
    """However events arrive between cuts, files join without a gap over all periods."""
    ledgers = Ledgers(tmp_path_factory.mktemp("cuts"), "c", "z", lambda: NOW)
    period = Period(2026, 1)
    for count in counts:
        if count:
            _store(ledgers, count)
        made = export.cut(ledgers, period, Limits(18, jobs, 1000), NOW)
        assert made.count == count
        period = period.next
    positions = [
        position
        for cut in ledgers.cuts.all()
        for file in cut.files
        for position in range(file.first, file.last + 1)
    ]
    assert positions == list(range(1, sum(counts) + 1))
    ledgers.close()


def test_a_cut_survives_a_restart_and_one_lost_copy(tmp_path: Path) -> None:
    """The same cut is answered again from either copy; without both nothing is cut anew."""
    ledgers = Ledgers(tmp_path, "c", "z", lambda: NOW)
    _store(ledgers, 25)
    made = export.cut(ledgers, Period(2026, 1), LIMITS, NOW)
    ledgers.close()
    first, second = tmp_path / "periods/2026-01.json", tmp_path / "periods/2026-01.copy.json"
    first.write_bytes(b"x" + first.read_bytes()[1:])
    ledgers = Ledgers(tmp_path, "c", "z", lambda: NOW)
    assert export.cut(ledgers, Period(2026, 1), Limits(1, 1, 1), NOW + 1) == made
    ledgers.close()
    assert first.read_bytes() == second.read_bytes(), "the lost copy was written again"
    first.write_bytes(b"x")
    second.write_bytes(b"")
    ledgers = Ledgers(tmp_path, "c", "z", lambda: NOW)
    _store(ledgers, 1)
    for ask in (ledgers.cuts.all, lambda: export.cut(ledgers, Period(2026, 2), LIMITS, NOW)):
        with pytest.raises(Damaged, match="2026-01"):
            ask()
    assert (first.read_bytes(), second.read_bytes()) == (b"x", b"")
    ledgers.close()


def test_events_from_the_future_are_told_in_one_period(tmp_path: Path) -> None:
    """Each once, by the day of its receipt; where they are not known that is told."""
    ledgers = Ledgers(tmp_path, "c", "z", lambda: NOW)
    told = [
        export.cut(ledgers, Period(2026, month), LIMITS, NOW, early).early_events
        for month, early in (
            (1, {"2026-01-30": 2}), (2, {"2026-01-30": 3, "2026-02-10": 1}), (3, None),
            (4, {"2026-01-30": 3, "2026-02-10": 1, "2026-03-01": 5}),
        )
    ]  # fmt: skip
    assert told == [{"2026-01-30": 2}, {"2026-01-30": 1, "2026-02-10": 1}, None, {"2026-03-01": 5}]
    ledgers.close()


def test_a_cut_of_before_they_were_counted_stays_as_it_is(tmp_path: Path) -> None:
    """Byte for byte, and says that it does not know."""
    ledgers = Ledgers(tmp_path, "c", "z", lambda: NOW)
    made = export.cut(ledgers, Period(2026, 1), Limits(18.0, 10, 1000.0), NOW, {})
    old = msgspec.structs.replace(made, early_events=msgspec.UNSET)
    ledgers.cuts.save(old)
    path = tmp_path / "periods" / "2026-01.json"
    body = path.read_bytes()
    assert b"early_events" not in body
    ledgers.close()
    ledgers = Ledgers(tmp_path, "c", "z", lambda: NOW)
    assert path.read_bytes() == body
    (period,) = export.describe_periods(ledgers, "c", "z")["periods"]
    assert period["early_events"] is None
    ledgers.close()


def test_the_head_covers_the_cut(tmp_path: Path) -> None:
    """What is stored while a period is being cut never gets into the cut without the head."""

    class Busy(Ledgers):
        def flush_head(self) -> None:
            super().flush_head()
            if not self.cuts.all():
                _store(self, 3)

    ledgers = Busy(tmp_path, "c", "z", lambda: NOW)
    made = export.cut(ledgers, Period(2026, 1), LIMITS, NOW)
    data = (ledgers.catalog.path(ledgers.live) / "head").read_bytes()
    flushed = [int(found) for found in re.findall(rb'"position": (\d+)', data[:1024])]
    assert made.ends[ledgers.live] <= max(flushed)
    ledgers.close()


def test_a_ledger_that_cannot_be_read_now_is_not_cut_as_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A passing trouble of the disk refuses the cut; nothing is fixed without what is there."""
    ledgers = Ledgers(tmp_path, "c", "z", lambda: NOW)
    _store(ledgers, 3)
    bounds = Reader.bounds

    def failing(_: Reader) -> tuple[int, int]:
        raise StorageUnavailable("too many open files")

    monkeypatch.setattr(Reader, "bounds", failing)
    with pytest.raises(StorageUnavailable):
        export.cut(ledgers, Period(2026, 1), LIMITS, NOW)
    monkeypatch.setattr(Reader, "bounds", bounds)
    assert export.cut(ledgers, Period(2026, 1), LIMITS, NOW).count == 3
    ledgers.close()


def test_what_cannot_be_cut(tmp_path: Path) -> None:
    """A month that has not begun, or one before the last cut, is a conflict."""
    ledgers = Ledgers(tmp_path, "c", "z", lambda: NOW)
    with pytest.raises(Conflict, match="not begun"):
        export.cut(ledgers, Period(2030, 2), LIMITS, NOW)
    assert export.cut(ledgers, Period(2030, 1), LIMITS, NOW).files == []
    with pytest.raises(Conflict, match="never cut"):
        export.cut(ledgers, Period(2029, 12), LIMITS, NOW)
    ledgers.close()


def test_a_closed_ledger_is_cut_with_the_live_one(tmp_path: Path) -> None:
    """What a ledger held when it was set aside belongs to the next period too."""
    ledgers = Ledgers(tmp_path, "c", "z", lambda: NOW)
    _store(ledgers, 3)
    old = ledgers.live
    ledgers.close()
    (ledgers.catalog.path(old) / "head").unlink()
    ledgers = Ledgers(tmp_path, "c", "z", lambda: NOW)
    _store(ledgers, 2)
    made = export.cut(ledgers, Period(2026, 1), LIMITS, NOW)
    assert [(f.ledger, f.first, f.last) for f in made.files] == [
        (old, 1, 3),
        (ledgers.live, 1, 2),
    ]
    ledgers.close()


def test_a_window_is_refused_when_a_ledger_cannot_be_read(tmp_path: Path) -> None:
    """An unreadable ledger is never left out of a window in silence."""
    ledgers = Ledgers(tmp_path, "c", "z", lambda: NOW)
    _store(ledgers, 3)
    old = ledgers.catalog.path(ledgers.live)
    ledgers.close()
    (old / "events.db").write_bytes(b"x" * 8192)
    ledgers = Ledgers(tmp_path, "c", "z", lambda: NOW)
    _store(ledgers, 2)
    store = Keystore(tmp_path / "keys", None, None)
    exporter = export.Exporter(ledgers, "c", "z", store.keys)
    with pytest.raises(Damaged, match=old.name):
        exporter.window(Window(None, None))
    exporter.positions(None, 1, 2, None).close()
    assert (old / "events.db").read_bytes() == b"x" * 8192
    ledgers.close()


def test_an_end_that_was_never_billed_is_no_billing_identity(tmp_path: Path) -> None:
    """The next month must count such a session when it is told properly after all."""
    ledgers = Ledgers(tmp_path, "c", "z", lambda: NOW)
    raws = [event(1, duration=-5, session_id="odd"), event(2, session_id="even")]
    ledgers.writer.append_and_wait(events.parse(array(raws)))
    export.cut(ledgers, Period(2026, 1), LIMITS, NOW)
    found = [json.loads(line) for line in export.sessions(ledgers, Period(2026, 1))]
    assert [line["id"] for line in found] == [events.read(raws[1]).identity.hex()]
    ledgers.close()
