"""Which collector gets which ledger, when many backups come back to many collectors."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from usage_collector.backup import Index, Return, Stored, spread
from usage_collector.peers import Ledger, Status

THEN = datetime(2026, 10, 1, tzinfo=UTC)


def backup(collector: str, zone: str, **ledgers: int) -> Index:
    """A backup of ledgers with so many events."""
    packages = [
        Stored(f"packages/{name}", name, 1, last, "", "", 1, "", 1, THEN)
        for name, last in ledgers.items()
    ]
    told = [Ledger(name, "closed", THEN) for name in ledgers]
    return Index(collector=collector, zone=zone, ledgers=told, packages=packages)


def collector(name: str, zone: str, *ledgers: str) -> Status:
    """A collector that holds these ledgers, whole."""
    held = [Ledger(one, "closed", THEN) for one in ledgers]
    return Status(name, [*held, Ledger(f"live-{name}", "live", THEN)], [], zone)


def went(found: list[Return]) -> dict[str, str]:
    """Which ledger goes where."""
    return {one.coming.ledger: one.to for one in found}


def test_each_goes_to_its_like() -> None:
    """The same name, else zone and number, else the zone, else whoever is next."""
    backups = [
        backup("old-a-0", "a", A=5),
        backup("old-b-1", "b", B=5),
        backup("old-b-7", "b", C=5),
        backup("old-z-0", "z", D=5),
        backup("new-b-0", "b", E=5),
    ]
    fleet = [collector("new-b-0", "b"), collector("new-a-0", "a"), collector("new-b-1", "b")]
    assert went(spread(backups, fleet)) == {
        "A": "new-a-0",
        "B": "new-b-1",
        "C": "new-b-0",
        "E": "new-b-0",
        "D": "new-b-0",
    }


def test_what_a_collector_has_stays_there() -> None:
    """A second run, or one with another fleet, brings nothing to a second collector."""
    fleet = [collector("new-a-0", "a"), collector("new-b-0", "b", "A")]
    (one,) = spread([backup("old-a-0", "a", A=5)], fleet)
    assert (one.to, one.coming.state, one.coming.needed) == ("new-b-0", "present", False)


def test_of_two_backups_of_a_ledger_the_fuller_one_counts() -> None:
    """Whoever was restored before has backups of the same ledgers."""
    backups = [backup("heir-a-0", "a", A=900, B=1), backup("old-a-0", "a", A=400)]
    found = spread(backups, [collector("new-a-0", "a")])
    assert [(one.coming.ledger, one.backup.collector) for one in found] == [
        ("A", "heir-a-0"),
        ("B", "heir-a-0"),
    ]


_ZONES = st.sampled_from(["a", "b", "c"])
_BACKUPS = st.lists(
    st.tuples(_ZONES, st.dictionaries(st.sampled_from("ABCDE"), st.integers(1, 900), min_size=1)),
    max_size=5,
)
_FLEET = st.lists(st.tuples(_ZONES, st.sets(st.sampled_from("ABCDE"))), min_size=1, max_size=4)


@given(_BACKUPS, _FLEET)
def test_no_ledger_comes_to_two(
    backups: list[tuple[str, dict[str, int]]], fleet: list[tuple[str, set[str]]]
) -> None:
    """Every ledger is told of once, and in whatever order all is given goes to the same place."""
    given_backups = [
        backup(f"old-{zone}-{n}", zone, **held) for n, (zone, held) in enumerate(backups)
    ]
    there: set[str] = set()
    collectors = []
    for n, (zone, held) in enumerate(fleet):
        collectors.append(collector(f"new-{zone}-{n}", zone, *sorted(held - there)))
        there |= held
    found = spread(given_backups, collectors)
    wanted = {ledger for _, held in backups for ledger in held}
    assert Counter(one.coming.ledger for one in found) == dict.fromkeys(wanted, 1)
    for one in found:
        assert one.coming.needed == (one.coming.ledger not in there)
    assert went(spread(given_backups[::-1], collectors[::-1])) == went(found)
