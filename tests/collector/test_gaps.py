"""What a collector's own words say is missing from its part of a period."""

from __future__ import annotations

import json
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.collector.test_plan import NOVEMBER, OCTOBER, SEAL, SEPTEMBER, cut, day, status
from usage_collector.monthly import gaps
from usage_collector.packages.manifest import Gap, Manifest
from usage_collector.peers.answers import CutFile, Ledger, Loss, Status

if TYPE_CHECKING:
    from datetime import datetime

    from usage_collector.periods import Period

FIRST = Ledger("L1", "closed", day(9, 3))
BROKEN = Ledger("L1", "closed", day(9, 3), problem="3 events are lost", damaged=True)
UNREADABLE = Ledger("L1", "closed", day(9, 3), 1, 0, "", "bad page", damaged=True, readable=False)
SECOND = Ledger("L2", "live", day(10, 12))


def found(one: Status, period: Period, before: Manifest | None = None) -> list[str]:
    """The gaps of that period as texts, without the collector's name."""
    return [str(gap).removeprefix("c, ledger ") for gap in found_in(one, period, before)]


def found_in(one: Status, period: Period, before: Manifest | None = None) -> list[Gap]:
    """The gaps of that period."""
    made = one.cut(str(period))
    assert made
    return gaps.found(one, period, made, before)


def three(*ledgers: Ledger) -> Status:
    """A collector with these ledgers that was cut in each of three months."""
    return Status("c", list(ledgers), [cut(SEPTEMBER), cut(OCTOBER), cut(NOVEMBER)], "z")


def test_nothing_is_missing_from_a_collector_that_is_well() -> None:
    """Its one ledger goes on from month to month."""
    for period in (SEPTEMBER, OCTOBER, NOVEMBER):
        assert found(three(Ledger("L1", "live", day(9, 3))), period) == []


def test_a_ledger_that_began_anew_is_a_gap_of_its_period() -> None:
    """Of that period only, and not the collector's very first."""
    told = [found(three(FIRST, SECOND), period) for period in (SEPTEMBER, OCTOBER, NOVEMBER)]
    assert told == [[], ["L2: a ledger began anew at 2026-10-12T12:00:00Z"], []]


def test_what_came_back_and_what_is_lost_is_named_by_position() -> None:
    """Only in a month that holds what came back: one that was cut before stays as it was."""
    back = replace(
        FIRST, first=1, last=900, restored=True, lost=[(401, 500), (901, 950)], damaged=False
    )
    one = three(back, SECOND)
    (before,) = found(one, OCTOBER)
    assert before == "L2: a ledger began anew at 2026-10-12T12:00:00Z"
    cuts = [replace(made, ends={"L1": 900}) for made in one.periods]
    (told,) = [gap for gap in found(replace(one, periods=cuts), OCTOBER) if gap.startswith("L2")]
    assert told == before + (
        "; of ledger L1 before it positions 1 to 400, 501 to 900 came back from a backup, "
        "positions 401 to 500, 901 to 950 and what came after 950, if anything did, "
        "is gone for good"
    )


MONTHS = (SEPTEMBER, OCTOBER, NOVEMBER)


@st.composite
def collectors(draw: st.DrawFn) -> list[Status]:
    """One to three, cut in each month; some of their ledgers came back, with holes or without."""
    found = []
    for number in range(draw(st.integers(1, 3))):
        begun = draw(st.lists(st.integers(1, 85), min_size=1, max_size=5, unique=True))
        days = sorted(day(9 + one // 30, 1 + one % 30) for one in begun)
        ledgers = [draw(ledger(f"L{number}{n}", at)) for n, at in enumerate(days)]
        cuts = [cut(period) for period in MONTHS]
        for one in ledgers:
            # It may come back only after some of the months were cut.
            for made in cuts[draw(st.integers(0, 3)) :]:
                if one.began <= made.cut_at:
                    made.ends[one.id] = one.last
        found.append(Status(f"c-{number}", ledgers, cuts, "z"))
    return found


@st.composite
def ledger(draw: st.DrawFn, name: str, began: datetime) -> Ledger:
    """One whose positions are runs that are there or lost, in turn; at least one is there."""
    if not draw(st.booleans()):
        return Ledger(name, "closed", began, 1, 50)
    lengths = draw(st.lists(st.integers(1, 500), min_size=2, max_size=6))
    runs = [(first + 1, last) for first, last in pairwise([0, *accumulate(lengths)])]
    there = draw(st.integers(0, 1))
    back, lost = runs[there::2], runs[1 - there :: 2]
    return Ledger(name, "closed", began, back[0][0], back[-1][1], restored=True, lost=lost)


@given(collectors())
def test_what_came_back_is_told_once_or_known_to_be_untold(fleet: list[Status]) -> None:
    """Never in two months, never both, never neither; and the words are those of the positions."""
    restored = {one.id: one for status in fleet for one in status.ledgers if one.restored}
    often: list[str] = []
    for period in MONTHS:
        told = [gap for one in fleet for gap in found_in(one, period)]
        names = [gap.came_back.ledger for gap in told if gap.came_back]
        assert len(names) == sum("came back" in gap.reason for gap in told)
        assert gaps.untold(fleet, told) == restored.keys() - set(names)
        often += names
        for gap in told:
            if gap.came_back:
                line = json.loads(json.dumps(gap.line))["came_back"]
                one = restored[line["ledger"]]
                runs = sorted((*map(tuple, line["runs"]), *map(tuple, line["lost"])))
                assert list(map(tuple, line["lost"])) == one.lost
                assert runs[0][0] == 1
                assert runs[-1][1] == line["end"] == max(one.last, *(b for _, b in one.lost))
                assert all(b + 1 == a for (_, b), (a, _) in pairwise(runs))
                assert all(f"{a} to {b}" in gap.reason for a, b in runs)
    assert sorted(often) == sorted(
        first.id
        for one in fleet
        for first, second in pairwise(one.ledgers)
        if first.restored
        and first.id in next(c.ends for c in one.periods if second.began <= c.cut_at)
    )


def test_a_damaged_ledger_is_a_gap_of_the_period_in_which_it_was_closed() -> None:
    """It stays listed for ever, but the months before and after it are whole."""
    told = [found(three(BROKEN, SECOND), period) for period in (SEPTEMBER, OCTOBER, NOVEMBER)]
    assert (told[0], told[2]) == ([], [])
    assert "L1: a ledger was set aside as damaged: 3 events are lost" in told[1]


def test_a_ledger_that_cannot_be_read_is_a_gap_of_every_period_it_holds() -> None:
    """An empty range is no zero usage: nobody knows what it held."""
    told = [found(three(UNREADABLE, SECOND), period) for period in (SEPTEMBER, OCTOBER, NOVEMBER)]
    wanted = "L1: a ledger cannot be read: bad page"
    assert [wanted in one for one in told] == [True, True, False]
    alone = Ledger("L1", "live", day(9, 3), readable=False)
    assert found(three(alone), NOVEMBER) == ["L1: a ledger cannot be read"]


def test_positions_in_no_period_are_a_gap() -> None:
    """Cuts join cuts, file by file, in each ledger."""
    files = [CutFile("L1", 11, 20, 10), CutFile("L1", 22, 30, 9), CutFile("L2", 1, 5, 5)]
    before = cut(SEPTEMBER, CutFile("L1", 1, 10, 10))
    told = found(status(before, cut(OCTOBER, *files)), OCTOBER)
    assert told == ["L1: positions 21 to 21 are in no period"]


def test_positions_that_a_cut_could_not_read_are_a_gap_of_that_period_alone() -> None:
    """A cut fixes an end; what lies between its last file and that end is in no file."""
    cuts = [
        replace(cut(SEPTEMBER, CutFile("L1", 1, 10, 10)), ends={"L1": 10}),
        replace(cut(OCTOBER, CutFile("L1", 11, 17, 7)), ends={"L1": 20}),
        replace(cut(NOVEMBER, CutFile("L2", 1, 5, 5)), ends={"L1": 20, "L2": 5}),
    ]
    one = Status("c", [FIRST, SECOND], cuts, "z")
    wanted = "L1: positions 18 to 20 are in no period"
    assert [wanted in found(one, period) for period in (SEPTEMBER, OCTOBER, NOVEMBER)] == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("kept", [CutFile("L1", 31, 40, 10), None])
def test_what_was_purged_unsent_is_a_gap_of_the_next_period(kept: CutFile | None) -> None:
    """Told once, as purged, whether anything is left of the ledger or not."""
    ledger = Ledger("L1", "live", day(9, 3), purged_unsent=[(11, 30)])
    cuts = [cut(SEPTEMBER, CutFile("L1", 1, 10, 10)), cut(OCTOBER, *([kept] if kept else []))]
    one = Status("c", [ledger], cuts, "z")
    assert found(one, OCTOBER) == ["L1: positions 11 to 30 were purged before they were sent"]
    assert found(one, SEPTEMBER) == []


def test_a_ledger_of_the_month_before_must_still_be_there() -> None:
    """One that was delivered last month and is gone is named."""
    before = Manifest({"collectors": [{"collector": "c", "ledgers": ["L0", "L1"]}]}, SEAL)
    told = found(status(cut(OCTOBER)), OCTOBER, before)
    assert told == ["L0: a ledger of the period before is no longer there"]


def anew(one: Status, period: Period, *losses: Loss, before: Manifest | None = None) -> list[str]:
    """What others remember of its losses, as gaps of that period."""
    return [gap.reason[-20:] for gap in gaps.began_anew(one, period, losses, [before, None])]


def test_a_loss_in_a_first_month_is_known_from_the_others() -> None:
    """No manifest tells of what was lost before the first one; only others had heard of it."""
    twice = [Loss("c", day(9, 3), day(10, 5)), Loss("c", day(10, 5), day(10, 7))]
    other = Loss("d", day(9, 3), day(10, 6))
    late = status(cut(OCTOBER), began=day(10, 7))
    assert anew(late, OCTOBER, *twice, *twice, other) == [
        "2026-10-05T12:00:00Z",
        "2026-10-07T12:00:00Z",
    ]
    assert anew(status(cut(OCTOBER), began=day(10, 7)), OCTOBER, other) == []
    # One that began anew after the month has none of it, and nothing of it was cut.
    assert anew(status(began=day(10, 7)), SEPTEMBER, *twice) == ["2026-10-05T12:00:00Z"]
    assert anew(status(began=day(10, 7)), SEPTEMBER, twice[1]) == []
    # The month after is whole.
    assert anew(status(cut(OCTOBER), cut(NOVEMBER), began=day(10, 7)), NOVEMBER, *twice) == []


def test_a_loss_is_named_once() -> None:
    """Not where a manifest lists what is gone, nor where it came back beside what began anew."""
    loss = Loss("c", day(9, 3), day(10, 12))
    before = Manifest({"collectors": [{"collector": "c", "ledgers": ["L0"]}]}, SEAL)
    assert anew(status(cut(OCTOBER), began=day(10, 12)), OCTOBER, loss) != []
    assert anew(status(cut(OCTOBER), began=day(10, 12)), OCTOBER, loss, before=before) == []
    both = status(cut(OCTOBER), more=[SECOND])
    assert anew(both, OCTOBER, loss) == []
    assert "a ledger began anew" in found(both, OCTOBER)[0]
