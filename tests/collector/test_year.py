"""A whole year: the twelve manifests together are what really happened, and nothing can be changed.

Three real collectors and the real monthly export go by a clock that the test sets.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.collector.year import life
from usage_collector.packages import Finding, Kind, Package, Trust, verify

if TYPE_CHECKING:
    from tests.collector.year.life import Lived


pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """One year, short."""
    return life.live(tmp_path_factory.mktemp("year"), jobs=3000, sessions=300)


def test_the_year_is_what_was_told(lived: Lived) -> None:
    """Every job and session once, hours to the microsecond, every gap named, nothing else."""
    assert life.differences(lived) == []


def test_the_year_has_everything_that_makes_counting_hard(lived: Lived) -> None:
    """Otherwise the test above would say little."""
    months = lived.newest()
    names = ("duplicates", "conflicts", "estimates", "corrections", "implausible", "carried")
    assert [name for name in names if not any(month[name] for month in months)] == []
    duplicates = [line for month in months for line in month["duplicates"]]
    assert {line["identity"] for line in duplicates} == {"transport", "billing"}
    assert any("period" in line["of"] for line in duplicates)
    assert {len(month["months"]) for month in months} >= {1, 3}
    assert lived.lost.best


def test_only_the_lost_volumes_are_wrong_with_the_year(lived: Lived) -> None:
    """Verifying all twelve months at once finds the gaps there are, and leaves nothing open."""
    report = verify([lived.out], Trust())
    gaps = [(Path(one.file).parent.name, one.detail.split(":")[0]) for one in report.findings]
    assert {one.kind for one in report.findings} == {Kind.GAP}
    assert gaps == life.GAPS
    assert lived.lost_ledger in [one.ledger for one in report.findings]
    assert report.notes == ()
    corrected = sum(round(m["coverage"]["corrected_seconds"] * 1e6) for m in lived.newest())
    assert report.totals.all.duration == lived.count.duration - corrected


@dataclass
class Opened:
    """A package taken apart, so that a forger can put it together again."""

    path: Path
    head: bytes
    events: list[bytes]
    tail: bytes
    first: int

    @classmethod
    def of(cls, path: Path) -> Opened:
        """The package at this path."""
        with path.open("rb") as file:
            package = Package(file, {})
            events = list(package.events())
        plain = gzip.decompress(path.read_bytes())
        whole = b",".join(events)
        begin = plain.index(whole)
        chain = package.contents.chain
        assert chain
        return cls(path, plain[:begin], events, plain[begin + len(whole) :], chain.first)

    def save(self, *, fit: bool) -> None:
        """Writes it; with ``fit`` the number of events that it states is made to fit."""
        head = self.head
        if fit:
            number = len(self.events)
            head = re.sub(rb'"count":\d+', b'"count":%d' % number, head, count=1)
            head = re.sub(rb'"last":\d+', b'"last":%d' % (self.first + number - 1), head, count=1)
        self.path.write_bytes(gzip.compress(head + b",".join(self.events) + self.tail))


def alter(one: Opened, _: Opened, rng: Random) -> int:
    """A digit of an event becomes another; the index of the first event that is not its own."""
    at = rng.randrange(len(one.events))
    places = [match.start() for match in re.finditer(rb"[1-8]", one.events[at])]
    raw, place = bytearray(one.events[at]), rng.choice(places)
    raw[place] += 1
    one.events[at] = bytes(raw)
    return at


def drop(one: Opened, _: Opened, rng: Random) -> int:
    """An event goes."""
    at = rng.randrange(len(one.events))
    del one.events[at]
    return at


def insert(one: Opened, other: Opened, rng: Random) -> int:
    """An event of another file comes in addition."""
    at = rng.randrange(len(one.events))
    one.events.insert(at, rng.choice(other.events))
    return at


def swap(one: Opened, _: Opened, rng: Random) -> int:
    """Two events change places."""
    at, to = sorted(rng.sample(range(len(one.events)), 2))
    if one.events[at] == one.events[to]:
        one.events[at] += b" "
    one.events[at], one.events[to] = one.events[to], one.events[at]
    return at


def move(one: Opened, other: Opened, rng: Random) -> int:
    """An event leaves its file for another."""
    at = rng.randrange(len(one.events))
    other.events.insert(rng.randrange(len(other.events)), one.events.pop(at))
    return at


def exchange(one: Opened, other: Opened, rng: Random) -> int:
    """Two files change an event for an event, so that both keep their number."""
    at, to = rng.randrange(len(one.events)), rng.randrange(len(other.events))
    one.events[at], other.events[to] = other.events[to], one.events[at]
    return at


@pytest.mark.parametrize("fit", [False, True], ids=["plain", "made to fit"])
@pytest.mark.parametrize("how", [alter, drop, insert, swap, move, exchange])
def test_any_single_event_that_is_changed_anywhere_is_found(
    lived: Lived, how: object, fit: bool
) -> None:
    """Verify names the file, and the positions to within a hundred or from the first on."""
    rng = Random(f"{how} {fit}".split(" at ")[0])
    files = sorted(path for path in lived.out.rglob("usage-*.gz"))
    whole = {finding.detail for finding in verify([lived.out], Trust()).findings}
    for path in rng.sample(files, 2):
        one, other = Opened.of(path), Opened.of(rng.choice([x for x in files if x != path]))
        before = {each.path: each.path.read_bytes() for each in (one, other)}
        at = how(one, other, rng)  # type: ignore[operator]
        one.save(fit=fit)
        if how in (move, exchange):
            other.save(fit=fit)
        found = [f for f in verify([lived.out], Trust()).findings if f.detail not in whole]
        for each, content in before.items():
            each.write_bytes(content)
        assert _names(found, path, one.first + at), found
        if how in (move, exchange):
            assert any(finding.file == str(other.path) for finding in found), found


def _names(found: list[Finding], path: Path, position: int) -> bool:
    """Whether a finding is about this file, and says which positions: this one, or up to it."""
    here = [one for one in found if one.file == str(path)]
    placed = [one for one in here if one.first is not None and one.last is not None]
    return any((one.first or 0) <= position <= (one.last or 0) + 1 for one in placed)
