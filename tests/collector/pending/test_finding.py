"""What is pending is what the ledgers announce and do not settle, whatever happens in between."""

from __future__ import annotations

import io
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collector import made
from tests.collector.samples import event
from tests.collector.spoiling import spoil
from usage_collector import events
from usage_collector.ledger import Ledgers, Origin, Part, restore
from usage_collector.pending import Finder, finding
from usage_collector.pending.asking import (
    MOST_REFUSED_SECONDS,
    MOST_SECONDS,
    delay,
    remembered_from,
)
from usage_collector.periods import Period, moment
from usage_collector.totals.month import DAY
from usage_collector.vendors.assemblyai.notices import Notice
from usage_collector.vendors.assemblyai.transcripts import Transcript

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_790_900_000_000_000
NAMES = ("a", "b", "c")
KNOWN = Transcript("completed", 281.0, "", "", "")


@contextmanager
def ledgers_in(folder: Path) -> Iterator[Ledgers]:
    """Opens the ledgers of a folder."""
    opened = Ledgers(folder, "collector-0", "eu-1a", lambda: NOW)
    try:
        yield opened
    finally:
        opened.close()


def notice(name: str, contract: str = "") -> Notice:
    """The notification of that transcript."""
    return Notice(name, "completed", "Acme", contract, {})


def outcome(name: str, transcript: Transcript) -> bytes:
    """What came of that transcript."""
    raw = notice(name).outcome(transcript, NOW)
    assert raw is not None
    return raw


def names(finder: Finder) -> set[str]:
    """The transcripts that are pending."""
    return {one.notice.transcript for one in finder.pending.values()}


_steps = st.one_of(
    st.tuples(st.just("notified"), st.sampled_from(NAMES)),
    st.tuples(st.just("done"), st.sampled_from(NAMES)),
    st.tuples(st.just("failed"), st.sampled_from(NAMES)),
    st.tuples(st.just("native"), st.sampled_from(NAMES)),
    st.tuples(st.sampled_from(["look", "save", "restart", "crash", "forget"]), st.just("")),
)


@settings(max_examples=15, deadline=None)
@given(st.lists(_steps, max_size=25))
def test_pending_is_what_the_ledgers_say(steps: list[tuple[str, str]]) -> None:
    """With restarts, crashes and a lost file at any point, as a naive model has it."""
    raws = {
        "notified": lambda name: notice(name).event,
        "done": lambda name: outcome(name, KNOWN),
        "failed": lambda name: outcome(name, Transcript("error", None, "", "", "")),
        "native": lambda name: event(session_id=name, vendor="native"),
    }
    stored: set[bytes] = set()
    expected: set[str] = set()
    with tempfile.TemporaryDirectory() as place, ledgers_in(Path(place)) as ledgers:
        finder = Finder(Path(place), ledgers)
        for what, name in steps:
            if what in raws:
                raw = raws[what](name)
                (read,) = events.parse(raw)
                ledgers.writer.append_and_wait([read])
                if raw not in stored and what != "native":
                    (expected.add if what == "notified" else expected.discard)(name)
                stored.add(raw)
            elif what == "look":
                finder.look()
            elif what == "save":
                finder.save()
            else:
                if what == "restart":
                    finder.save()
                if what == "forget":
                    (Path(place) / finding.FILE).unlink(missing_ok=True)
                finder = Finder(Path(place), ledgers)
        finder.look()
        assert finder.is_complete()
        assert names(finder) == expected


def test_contracts_tell_transcripts_apart(tmp_path: Path) -> None:
    """A transcript is settled under the contract that it was notified for."""
    with ledgers_in(tmp_path) as ledgers:
        read = [events.read(notice("a", contract).event) for contract in ("", "7")]
        ledgers.writer.append_and_wait([*read, events.read(outcome("a", KNOWN))])
        finder = Finder(tmp_path, ledgers)
        finder.look()
        assert [one.notice.contract for one in finder.pending.values()] == ["7"]


def test_the_time_is_that_of_the_notification(tmp_path: Path) -> None:
    """Also after a restart, so that usage is dated when it was."""
    with ledgers_in(tmp_path) as ledgers:
        ledgers.writer.append_and_wait([events.read(notice("a").event)])
        finder = Finder(tmp_path, ledgers)
        finder.look()
        finder.save()
        (one,) = Finder(tmp_path, ledgers).pending.values()
        assert one.received == NOW


def test_a_ledger_that_was_set_aside_is_looked_at_too(tmp_path: Path) -> None:
    """What was announced in one and settled in another is settled; the rest stays pending."""
    with ledgers_in(tmp_path) as ledgers:
        ledgers.writer.append_and_wait([events.read(notice(name).event) for name in ("a", "b")])
        first = ledgers.live
        ledgers.distrust(first, "for a test")
        ledgers.writer.prove().result()
        ledgers.writer.append_and_wait([events.read(outcome("a", KNOWN))])
        assert ledgers.live != first
        finder = Finder(tmp_path, ledgers)
        finder.look()
        assert finder.is_complete()
        assert names(finder) == {"b"}


def test_what_came_back_of_a_damaged_ledger_is_looked_at(tmp_path: Path) -> None:
    """Also where that ledger was read to its end before, and what settles it is in another one."""
    stored = [notice(name).event for name in ("a", "b")]
    stored += [event(session_id=f"e{n}") for n in range(98)]
    with ledgers_in(tmp_path) as ledgers:
        for raw in stored:
            ledgers.writer.append_and_wait([events.read(raw)])
        hurt = spoil(ledgers, 1, 2)
        ledgers.distrust(hurt, "for a test")
        ledgers.writer.prove().result()
        ledgers.writer.append_and_wait([events.read(outcome("b", KNOWN))])
        finder = Finder(tmp_path, ledgers)
        finder.look()
        assert (finder.is_complete(), names(finder)) == (True, set())
        plain = made.Ledger(stored, id=hurt, collector="collector-0").plain(1, 100, period=None)
        whole = [Part("1-100", io.BytesIO(plain), NOW)]
        restore(ledgers, Origin(hurt, NOW, "collector-0", "eu-1a"), whole, NOW)
        assert not finder.is_complete()
        finder.look()
        assert (finder.is_complete(), names(finder)) == (True, {"a"})
        finder.save()
        assert names(Finder(tmp_path, ledgers)) == {"a"}
        assert Finder(tmp_path, ledgers).is_complete()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"ledgers":{"a":"b"}}'])
def test_a_file_that_cannot_be_used_is_made_anew(tmp_path: Path, content: bytes) -> None:
    """The ledgers are the truth."""
    (tmp_path / finding.FILE).write_bytes(content)
    with ledgers_in(tmp_path) as ledgers:
        ledgers.writer.append_and_wait([events.read(notice("a").event)])
        finder = Finder(tmp_path, ledgers)
        finder.look()
        assert names(finder) == {"a"}


def test_what_only_looks_like_one_is_none(tmp_path: Path) -> None:
    """Another vendor's event, or an id that could lead elsewhere, is asked of nobody."""
    odd = [
        b'{"event":"TRANSCRIPT_NOTIFIED","vendor":"other","session_id":"assemblyai"}',
        b'{"event":"TRANSCRIPT_NOTIFIED","vendor":"assemblyai","session_id":"../x",'
        b'"event_specific_data":{}}',
        b'{"event":"TRANSCRIPT_NOTIFIED","vendor":"assemblyai","session_id":7}',
        b'{"note":"assemblyai"}',
    ]
    with ledgers_in(tmp_path) as ledgers:
        ledgers.writer.append_and_wait([events.read(raw) for raw in odd])
        finder = Finder(tmp_path, ledgers)
        finder.look()
        assert names(finder) == set()


@given(st.integers(1, 10_000), st.booleans())
def test_waiting_gets_longer_up_to_a_limit(answers: int, refused: bool) -> None:
    """Nobody is asked all the time, and nothing is given up."""
    most = MOST_REFUSED_SECONDS if refused else MOST_SECONDS
    now, later = delay(answers, refused=refused), delay(answers + 1, refused=refused)
    assert 1 <= now <= later <= most
    assert later in (2 * now, most)


@given(st.integers(0, 40 * 366), st.integers(0, 400))
def test_what_is_not_old_is_safe_from_being_counted_twice(day: int, later: int) -> None:
    """The month that takes it in, this one or the next, looks back to the one that had it."""
    received, now = day * DAY, (day + later) * DAY
    if received >= remembered_from(now, []):
        counting = Period.of(moment(now)).next
        had = Period.of(moment(received))
        assert had in (counting, counting.previous, counting.previous.previous)
    else:
        assert later > 27


@given(
    st.lists(st.integers(0, 100), min_size=1, max_size=6, unique=True).map(sorted),
    st.integers(0, 100),
    st.integers(0, 100),
)
def test_months_that_were_cut_late_look_back_less_far(
    cuts: list[int], received: int, later: int
) -> None:
    """What came before a late cut is in the month before; the next may be cut while it is asked."""
    now = received + later
    made = [at * DAY for at in cuts if at <= now]
    if received * DAY >= remembered_from(now * DAY, made):
        had = sum(at <= received for at in cuts)
        assert len(made) + 1 - had <= 2
