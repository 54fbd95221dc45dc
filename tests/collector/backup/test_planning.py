"""What is fetched, joined and let go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usage_collector.backup import index, planning
from usage_collector.backup.index import Stored
from usage_collector.backup.planning import Piece
from usage_collector.errors import Conflict
from usage_collector.peers import Ledger

BEGAN = datetime(2026, 10, 1, tzinfo=UTC)


def ledger(last: int, first: int = 1, **more: object) -> Ledger:
    """A live ledger that keeps these positions."""
    return Ledger(id="L", state="live", began=BEGAN, first=first, last=last, **more)  # type: ignore[arg-type]


def stored(piece: tuple[int, int], day: int = 0) -> Stored:
    """A package in the backup."""
    first, last = piece
    return Stored(
        file=f"packages/{first}-{last}",
        ledger="L",
        first=first,
        last=last,
        before="",
        after="",
        bytes=1,
        sha256="",
        stored_bytes=1,
        taken=BEGAN + timedelta(days=day),
    )


def taken(have: list[Stored], wanted: list[Piece]) -> list[Stored]:
    """The packages after these pieces were fetched."""
    for piece in wanted:
        gone = planning.superseded(piece, have)
        have = sorted(
            [*(one for one in have if one not in gone), stored(piece)], key=lambda one: one.first
        )
    return have


def joined(have: list[Stored], last: int, largest: int) -> list[Stored]:
    """The packages after small ones became larger."""
    while wanted := planning.merges(ledger(last), have, largest):
        have = taken(have, wanted)
    return have


def covered(have: list[Stored]) -> list[int]:
    """All positions, each as often as it is there."""
    return [n for one in have for n in range(one.first, one.last + 1)]


@given(st.lists(st.integers(0, 1500), min_size=1, max_size=12), st.sampled_from([100, 300, 1000]))
def test_every_position_is_there_once(growth: list[int], largest: int) -> None:
    """However a ledger grows, its backup has each position once, in packages behind hundreds."""
    have: list[Stored] = []
    last = 0
    for more in growth:
        last += more
        have = taken(have, planning.pieces(ledger(last), have, largest))
        assert covered(have) == list(range(1, last + 1))
        assert all((one.first - 1) % 100 == 0 for one in have)
        assert all(one.count <= largest for one in have)
        have = joined(have, last, largest)
        assert covered(have) == list(range(1, last + 1))
        assert not planning.pieces(ledger(last), have, largest)


@given(st.integers(200, 3000), st.integers(20, 200))
@settings(max_examples=15, deadline=None)
def test_small_packages_do_not_become_many(a_run: int, runs: int) -> None:
    """After years of daily backups the packages are few: some of each size, and full ones."""
    have: list[Stored] = []
    for number in range(1, runs + 1):
        live = ledger(a_run * number)
        have = taken(have, planning.pieces(live, have))
        have = joined(have, live.last, planning.LARGEST)
    full = a_run * runs // (planning.LARGEST // 2)
    assert len(have) <= 4 * planning.FAN + 2 * full


def test_only_what_is_new_is_fetched() -> None:
    """The last package is fetched again with what came; nothing before it is."""
    have = taken([], planning.pieces(ledger(1250), []))
    assert [(one.first, one.last) for one in have] == [(1, 1200), (1201, 1250)]
    assert planning.pieces(ledger(1250), have) == []
    assert planning.pieces(ledger(1290), have) == [(1201, 1290)]
    assert planning.pieces(ledger(1430), have) == [(1201, 1400), (1401, 1430)]


def test_what_was_purged_before_it_was_fetched_is_left_out() -> None:
    """A backup that begins late begins where the collector does."""
    assert planning.pieces(ledger(1250, first=901), []) == [(901, 1200), (1201, 1250)]
    have = [stored((1, 300))]
    assert planning.pieces(ledger(1200, first=901), have) == [(901, 1200)]


def test_a_ledger_that_went_back_is_refused() -> None:
    """A volume put back to an older state must not be taken for the original."""
    with pytest.raises(Conflict, match="ends at 90"):
        planning.pieces(ledger(90), [stored((1, 100))])


def test_a_restored_ledger_that_goes_on_elsewhere_is_refused() -> None:
    """Whoever has it restored while the old one lives is told to keep the two apart."""
    with pytest.raises(Conflict, match="ends at 90") as refused:
        planning.pieces(ledger(90, restored=True), [stored((1, 100))])
    assert "a place of their own" in refused.value.hint


def test_a_damaged_ledger_that_became_shorter_leaves_its_backup_alone() -> None:
    """What the backup has more of is what it is for."""
    assert planning.pieces(ledger(90, damaged=True), [stored((1, 100))]) == []
    assert planning.pieces(ledger(900, readable=False), [stored((1, 100))]) == []


@given(st.integers(0, 50), st.integers(1, 6000))
def test_halves_are_the_whole(hundreds: int, count: int) -> None:
    """Halving down to a hundred loses no position."""
    piece = Piece(hundreds * 100 + 1, hundreds * 100 + count)
    waiting, found = [piece], []
    while waiting:
        one = waiting.pop()
        smaller = planning.halves(one)
        waiting += smaller
        if not smaller:
            found.append(one)
            assert one.last - one.first < 100
    assert sorted(n for one in found for n in range(one.first, one.last + 1)) == list(
        range(piece.first, piece.last + 1)
    )


def test_only_what_is_old_and_sent_is_let_go() -> None:
    """A prefix goes, never past what was sent, never the last package."""
    have = [stored((1, 100), 0), stored((101, 200), 1), stored((201, 300), 9)]
    early, late = BEGAN + timedelta(days=5), BEGAN + timedelta(days=50)
    assert planning.prunable(ledger(300, sent=300), have, early) == have[:2]
    assert planning.prunable(ledger(300, sent=300), have, late) == have[:2]
    assert planning.prunable(ledger(300, sent=150), have, late) == have[:1]
    assert planning.prunable(ledger(300, sent=0), have, late) == []


def test_what_was_purged_unsent_is_never_let_go() -> None:
    """Where the collector itself no longer has it, the backup is all there is."""
    have = [stored((1, 100), 0), stored((101, 200), 1), stored((201, 300), 9)]
    live = ledger(300, sent=300, purged_unsent=[(101, 150)])
    assert planning.prunable(live, have, BEGAN + timedelta(days=50)) == have[:1]


class Pair:
    """A ledger of ``last`` positions, None when it is lost, its backup and that one's tail."""

    def __init__(self) -> None:
        self.last: int | None = 0
        self.reached = 0
        self.kept: list[Stored] = []
        self.tail: list[Stored] = []

    def grow(self, number: int) -> None:
        if self.last is not None:
            self.last += number

    def lose(self, _: int) -> None:
        self.last = None

    def trim(self, _: int) -> None:
        self.tail = planning.trimmed(self.tail, self.kept)

    def ship(self, _: int) -> None:
        self.trim(0)
        if self.last is None:
            return
        have = sorted([*self.tail, *self.kept[-1:]], key=lambda one: one.last)
        self.tail = taken(self.tail, planning.pieces(ledger(self.last), have, 500))
        self.tail = taken(self.tail, planning.merges(ledger(self.last), self.tail, 500)[:1])
        self.reached = self.last

    def back_up(self, _: int) -> None:
        there = None if self.last is None else ledger(self.last)
        for one in planning.adoptable(there, self.kept, self.tail):
            self.kept = taken(self.kept, [Piece(one.first, one.last)])
        if there:
            self.kept = taken(self.kept, planning.pieces(there, self.kept, 500))
            self.kept = joined(self.kept, there.last, 500)
            self.reached = there.last


_STEPS = [Pair.grow, Pair.grow, Pair.ship, Pair.ship, Pair.back_up, Pair.trim, Pair.lose]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(_STEPS), st.integers(1, 700)), max_size=40))
def test_no_position_is_lost_between_a_backup_and_its_tail(steps: list[Any]) -> None:
    """However the two take turns, and also when the ledger is lost, both together have it all."""
    pair = Pair()
    for step, number in steps:
        step(pair, number)
        every = {n for one in (*pair.tail, *pair.kept) for n in range(one.first, one.last + 1)}
        assert every == set(range(1, pair.reached + 1))
        whole = index.joined(held(pair.kept), held(pair.tail))
        assert whole
        assert whole.events == pair.reached


def held(packages: list[Stored]) -> index.Index:
    """An index of these packages."""
    return index.Index(collector="c", zone="z", packages=packages)


def test_a_hole_in_the_backup_stays_in_the_tail() -> None:
    """What a damaged ledger did not give the backup is let go by nobody."""
    kept = [stored((1, 100)), stored((201, 300))]
    tail = [stored((1, 100)), stored((101, 200)), stored((201, 300)), stored((201, 250))]
    assert planning.trimmed(tail, kept) == [tail[1]]
    assert planning.trimmed(tail, [stored((401, 500))]) == []
    assert planning.trimmed(tail, []) == tail


def test_only_what_the_collector_cannot_give_is_taken_over() -> None:
    """All of a lost or damaged ledger behind the backup's end; of another what was purged."""
    kept, tail = [stored((1, 250))], [stored((201, 300)), stored((301, 400))]
    assert planning.adoptable(None, kept, tail) == tail
    assert planning.adoptable(ledger(400, damaged=True), kept, tail) == tail
    assert planning.adoptable(ledger(400), kept, tail) == []
    assert planning.adoptable(ledger(400, first=251), kept, tail) == tail[:1]
    assert planning.adoptable(None, [stored((1, 300))], tail) == tail[1:]
