"""What receipts prove: property tests against a naive account of who has what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from usage_collector import receipts

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = ("a.json.gz", "b.json.gz", "manifest.json")
PLACES = ("/exports", "s3://months", "mailto:a@example.org")


@dataclass(frozen=True)
class File:
    """A file that a receipt names."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Receipt:
    """A receipt as collectors keep it."""

    state: str
    by: str
    files: tuple[File, ...]


def receipt(state: str, by: str, *names: str) -> Receipt:
    """A receipt for files of these names."""
    return Receipt(state, by, tuple(File(name, f"sha256 of {name}") for name in names))


ANY = st.lists(
    st.builds(
        lambda state, by, names: receipt(state, by, *sorted(names)),
        st.sampled_from(["exported", "sent", "acknowledged"]),
        st.sampled_from(PLACES),
        st.sets(st.sampled_from(NAMES)),
    ),
    max_size=12,
)


def has(told: Sequence[Receipt], place: str, name: str) -> bool:
    """Whether any receipt says so, looked for one by one."""
    return any(
        one.by == place and one.state != "exported" and name in [file.name for file in one.files]
        for one in told
    )


def waits(told: Sequence[Receipt], place: str, name: str) -> bool:
    """Whether the newest promise to that place holds a file that it has not got."""
    for one in reversed(told):
        if one.by == place and one.state == "exported":
            return name in [file.name for file in one.files] and not has(told, place, name)
    return False


@given(ANY)
def test_a_file_may_be_purged_only_where_it_arrived_and_nobody_waits(told: list[Receipt]) -> None:
    """Some destination has it, and none that was promised it last lacks it."""
    expected = {
        name
        for name in NAMES
        if any(has(told, place, name) for place in PLACES)
        and not any(waits(told, place, name) for place in PLACES)
    }
    assert receipts.sent(told) == expected


@given(ANY)
def test_each_destination_waits_for_its_own_files(told: list[Receipt]) -> None:
    """What one has got takes nothing off the list of another."""
    for place in PLACES:
        waiting = {name for name in NAMES if waits(told, place, name)}
        assert receipts.awaited(told).get(place, set()) == waiting
        there = {name for name in NAMES if has(told, place, name)}
        assert receipts.arrived(told).get(place, {}).keys() == there


@given(ANY, st.sets(st.sampled_from(PLACES)))
def test_a_run_asks_its_own_destinations_only(told: list[Receipt], mine: set[str]) -> None:
    """A period is complete when something was sent and none of those asked about waits."""
    arrived = any(has(told, place, name) for place in PLACES for name in NAMES)
    empty = any(one.state != "exported" for one in told)
    waiting = any(waits(told, place, name) for place in mine for name in NAMES)
    assert receipts.complete(told, mine) == ((arrived or empty) and not waiting)
    everywhere = receipts.complete(told, PLACES)
    assert receipts.complete(told) == everywhere
    assert receipts.complete(told, mine) or not everywhere


@given(ANY, st.sampled_from(PLACES), st.sets(st.sampled_from(NAMES)))
def test_news_of_an_arrival_never_closes_the_guard(
    told: list[Receipt], place: str, names: set[str]
) -> None:
    """One receipt of `sent` more leaves everything that could be purged so."""
    more = [*told, receipt("sent", place, *names)]
    assert receipts.sent(told) <= receipts.sent(more)


@given(ANY, st.sampled_from(NAMES))
def test_a_destination_that_was_taken_away_keeps_what_it_was_promised(
    told: list[Receipt], name: str
) -> None:
    """Whatever else arrives elsewhere: until somebody acknowledges it in that name."""
    gone = [receipt("exported", "s3://gone", name), *told, receipt("sent", "/exports", *NAMES)]
    assert name not in receipts.sent(gone)
    settled = [*gone, receipt("acknowledged", "s3://gone", name)]
    waiting = any(waits(told, place, name) and place != "/exports" for place in PLACES)
    assert (name in receipts.sent(settled)) == (not waiting)


def test_a_promise_of_old_times_names_nobody() -> None:
    """Receipts of the time of one destination only do not close the guard for ever."""
    told = [receipt("exported", "usage-collector export-month", *NAMES)]
    assert receipts.sent(told) == set()
    assert receipts.sent([*told, receipt("sent", "/exports", *NAMES)]) == set(NAMES)
