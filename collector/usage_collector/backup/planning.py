"""What a backup fetches, joins into larger packages, and lets go. Pure.

Packages begin behind a hundred, where the chain's marks stand, so that a restored ledger can be
proven from there on. The last one of a ledger that still grows may end anywhere; what comes next
begins where it began and takes its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from usage_collector.errors import Conflict
from usage_collector.packages import MARK_EVERY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from usage_collector.backup.index import Stored
    from usage_collector.peers import Ledger

LARGEST = 100_000
"""Events in one package at most, a multiple of 100: about 10 MB."""
FAN = 8
"""Packages are joined to ones that are about so many times as large."""

_OLDER = "was its volume put back to an older state? Restore it, and let it begin a new ledger"
_ELSEWHERE = (
    "it was restored here, and where it came from it is still backed up to the same place: "
    "give these backups a place of their own (another prefix)"
)


class Piece(NamedTuple):
    """Positions to fetch as one package."""

    first: int
    last: int


def pieces(ledger: Ledger, have: Sequence[Stored], largest: int = LARGEST) -> list[Piece]:
    """What is to be fetched of a ledger, when ``have`` is there (in order).

    Raises:
        Conflict: the ledger ends before its backup does.
    """
    end = have[-1].last if have else 0
    if ledger.last < end and ledger.readable and not ledger.damaged:
        raise Conflict(
            f"ledger {ledger.id} ends at {ledger.last}, its backup at {end}",
            _ELSEWHERE if ledger.restored else _OLDER,
        )
    if ledger.last <= end or not ledger.readable:
        return []
    start = have[-1].first if have and end % MARK_EVERY else end + 1
    return list(_split(max(start, ledger.first), ledger.last, largest))


def _split(first: int, last: int, largest: int) -> Iterator[Piece]:
    whole = last // MARK_EVERY * MARK_EVERY
    while first <= whole:
        end = min((first - 1) // MARK_EVERY * MARK_EVERY + largest, whole)
        yield Piece(first, end)
        first = end + 1
    if first <= last:
        yield Piece(first, last)


def halves(piece: Piece) -> list[Piece]:
    """A piece that cannot be read as a whole, in two; nothing when it is small enough."""
    begin = (piece.first - 1) // MARK_EVERY
    blocks = -(-piece.last // MARK_EVERY) - begin
    if blocks < 2:
        return []
    middle = (begin + blocks // 2) * MARK_EVERY
    return [Piece(piece.first, middle), Piece(middle + 1, piece.last)]


def superseded(piece: Piece, have: Sequence[Stored]) -> list[Stored]:
    """The packages that a piece takes the place of."""
    return [one for one in have if piece.first <= one.first and one.last <= piece.last]


def adoptable(
    ledger: Ledger | None, have: Sequence[Stored], tail: Sequence[Stored]
) -> list[Stored]:
    """What only the tail holds: of a ledger that is gone, damaged, or purged up to there.

    All else is fetched from the collector, in larger packages.
    """
    end = have[-1].last if have else 0
    new = [one for one in tail if one.last > end]
    if ledger is None or ledger.damaged or not ledger.readable:
        return new
    return [one for one in new if one.first < ledger.first]


def trimmed(tail: Sequence[Stored], have: Sequence[Stored]) -> list[Stored]:
    """The packages of the tail that the backup does not hold, and has not let go."""
    found = []
    for one in tail:
        rest = [two for two in have if two.ledger == one.ledger]
        if not rest or not (one.last < rest[0].first or _covered(one, rest)):
            found.append(one)
    return found


def _covered(one: Stored, have: Sequence[Stored]) -> bool:
    """Whether every position of a package is in these, which are in order."""
    wanted = one.first
    for two in have:
        if two.first <= wanted <= two.last:
            wanted = two.last + 1
    return wanted > one.last


def merges(ledger: Ledger, have: Sequence[Stored], largest: int = LARGEST) -> list[Piece]:
    """Packages to be fetched again as one, so that they do not become thousands.

    Only what the collector still keeps, and never the last one, which grows. To be asked again
    until there is nothing: what was joined may be joined further.
    """
    if not ledger.readable or ledger.damaged:
        return []
    able = [one for one in have[:-1] if one.first >= ledger.first and one.last % MARK_EVERY == 0]
    for target in _targets(largest):
        if found := [piece for run in _runs(able, target) for piece in _full(run, target, largest)]:
            return found
    return []


def _targets(largest: int) -> Iterator[int]:
    """Sizes that small packages are brought to, one after the other: 800, 6,400 … events."""
    size = MARK_EVERY * FAN
    while size < largest // 2:
        yield size
        size *= FAN
    yield largest // 2


def _runs(have: Sequence[Stored], target: int) -> Iterator[list[Stored]]:
    """Neighbours that are all smaller than ``target``."""
    run: list[Stored] = []
    for one in have:
        if run and (one.count >= target or one.first != run[-1].last + 1):
            yield run
            run = []
        if one.count < target:
            run.append(one)
    yield run


def _full(run: Sequence[Stored], target: int, largest: int) -> Iterator[Piece]:
    """Of these neighbours those that together reach the target."""
    begin = 0
    for end, one in enumerate(run):
        count = one.last - run[begin].first + 1
        if count > largest:
            begin = end
        elif count >= target:
            yield Piece(run[begin].first, one.last)
            begin = end + 1


def prunable(ledger: Ledger, have: Sequence[Stored], before: datetime) -> list[Stored]:
    """The packages, from the first on, that were taken before that time and are not needed.

    What was not sent is needed, and above all what the collector purged without sending it.
    """
    found = []
    for one in have[:-1]:
        unsent = any(a <= one.last and one.first <= b for a, b in ledger.purged_unsent)
        if one.taken >= before or one.last > ledger.sent or unsent:
            break
        found.append(one)
    return found
