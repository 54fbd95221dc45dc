"""Which events are there already: told alike from memory, from the table, and after a crash."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collector.samples import array, event
from usage_collector import events
from usage_collector.ledger import Ledgers, index
from usage_collector.upkeep import check

_STEPS = st.lists(
    st.one_of(
        st.lists(st.integers(0, 40), min_size=1, max_size=8),
        st.sampled_from(["killed", "ended", "tidied", "sealed"]),
    ),
    max_size=20,
)


def _raw(number: int) -> bytes:
    """Every seventh has no time; the times are in no order."""
    if number % 7 == 3:
        return event(session_id=str(number), time_stamp=None)
    return event(number * 7919 % 1000, session_id=str(number))


def _again(ledgers: Ledgers, how: str) -> Ledgers:
    if how == "killed":
        left = Path(tempfile.mkdtemp(dir=ledgers.folder.parent)) / "data"
        shutil.copytree(ledgers.folder, left)
        ledgers.close()
        return Ledgers(left, "c", "z", lambda: 5)
    ledgers.close()
    return Ledgers(ledgers.folder, "c", "z", lambda: 5)


@settings(max_examples=40, deadline=None)
@given(_STEPS)
def test_an_event_is_new_once_whatever_happens_in_between(steps: list[list[int] | str]) -> None:
    """Filed some at a time, filed at an end or read again after a crash: none comes in twice."""
    known: list[int] = []
    with tempfile.TemporaryDirectory() as folder, patch.object(index, "MAX_RECENT", 5):
        (Path(folder) / "data").mkdir()
        ledgers = Ledgers(Path(folder) / "data", "c", "z", lambda: 5)
        for step in steps:
            if step == "tidied":
                ledgers.writer.call(lambda book: book.file_ids()).result()
            elif step == "sealed":
                ledgers.writer.call(lambda book: book.seal(10**16, 1)).result()
            elif isinstance(step, str):
                ledgers = _again(ledgers, step)
            else:
                told = ledgers.writer.append_and_wait(events.parse(array(list(map(_raw, step)))))
                for number, new in zip(step, told, strict=True):
                    assert new == (number not in known)
                    known += [number] * new
        with ledgers.reader() as reader:
            times = [(events.read(_raw(n)).time or 5, p) for p, n in enumerate(known, 1)]
            assert [(f.time, f.position) for f in reader.filed(None, None)] == sorted(times)
            assert list(reader.events(1, len(known))) == list(map(_raw, known))
        ledgers.close()
        assert not check(ledgers.folder, lambda *_: None).findings


def test_an_end_leaves_nothing_to_be_read_again(tmp_path: Path) -> None:
    """After a clean end all is filed; a start reads no events, however many there are."""
    ledgers = Ledgers(tmp_path, "c", "z", lambda: 5)
    ledgers.writer.append_and_wait(events.parse(array([_raw(n) for n in range(300)])))
    with ledgers.reader() as reader:
        assert reader.indexed() == 0
    ledgers.close()
    with ledgers.reader() as reader:
        assert reader.indexed() == 300
