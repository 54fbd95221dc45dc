"""Which collector gets which ledger, when many backups come back to many collectors. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from usage_collector.backup.returning import Coming, coming

if TYPE_CHECKING:
    from collections.abc import Sequence

    from usage_collector.backup.index import Index
    from usage_collector.peers import Status


class Return(NamedTuple):
    """One ledger of one backup, and the collector (by its name) that it would come back to."""

    backup: Index
    to: str
    coming: Coming


def spread(backups: Sequence[Index], collectors: Sequence[Status]) -> list[Return]:
    """Each ledger to one collector, so that none is in two.

    It stays with the collector that has it. Else it goes to the one of the backup's name, of its
    zone and number, of its zone, or to the next one in turn. Of a ledger that is in several backups
    the one with most of it counts.
    """
    found = []
    ordered = sorted(backups, key=lambda one: one.collector)
    for turn, backup in enumerate(ordered):
        heir = _heir(backup, collectors, turn)
        for ledger in backup.all_ledgers:
            if _fullest(ordered, ledger) is backup:
                to = _holder(collectors, ledger) or heir
                found.append(Return(backup, to.collector, coming(backup, ledger, to)))
    return found


def _fullest(backups: Sequence[Index], ledger: str) -> Index:
    def size(one: Index) -> int:
        return sum(stored.count for stored in one.of(ledger))

    return max((one for one in backups if ledger in one.all_ledgers), key=size)


def _holder(collectors: Sequence[Status], ledger: str) -> Status | None:
    held = (one for one in collectors if any(known.id == ledger for known in one.ledgers))
    return next(held, None)


def _heir(backup: Index, collectors: Sequence[Status], turn: int) -> Status:
    """Who takes what nobody has; the same whatever order the collectors are given in."""
    ordered = sorted(collectors, key=lambda one: one.collector)
    zone = [one for one in ordered if one.zone == backup.zone]
    number = backup.collector.rpartition("-")[2]
    choices = (
        [one for one in ordered if one.collector == backup.collector],
        [one for one in zone if one.collector.rpartition("-")[2] == number],
        zone,
        [ordered[turn % len(ordered)]],
    )
    return next(some[0] for some in choices if some)
