"""What a month's run has to do. Pure: answers of collectors in, decisions out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from usage_collector import receipts
from usage_collector.packages.manifest import Gap, revision_of
from usage_collector.periods import Period, microseconds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from usage_collector.packages.manifest import Manifest
    from usage_collector.peers import Cut, Status

SILENT = "did not answer"
NEVER = Period(9998, 12)


def first_owed(status: Status) -> Period:
    """The first period that a collector has to report: the month of its oldest ledger's beginning.

    A collector without any ledger owes nothing before the present; it counts as beginning late.
    """
    return min((Period.of(ledger.began) for ledger in status.ledgers), default=NEVER)


def is_sent(status: Status, period: Period, to: Collection[str] | None = None) -> bool:
    """Whether a collector was told that its packages of the period were sent.

    To every destination they were promised to; of those in ``to``, where it is not None.
    """
    cut = status.cut(str(period))
    return cut is not None and receipts.complete(cut.receipts, to)


def owes(status: Status, period: Period, to: Collection[str] | None = None) -> bool:
    """Whether a collector was not told yet that a period of it was sent, to all of ``to``.

    One that was never cut while a later one was is in the files of that later one.
    """
    if period < first_owed(status):
        return False
    later = any(cut.period > str(period) for cut in status.periods)
    if status.cut(str(period)) is None and later:
        return False
    return not is_sent(status, period, to) or any(
        passed_over(status, period, by) for by in to or ()
    )


def passed_over(status: Status, period: Period, by: str) -> bool:
    """Whether a destination got nothing of a period that somebody else has got.

    It is owed all that came after the first that it got, and the newest cut where it never got any:
    an export by hand to another place must not keep the month from those it is for, and a
    destination that is new is not flooded with old months.
    """
    got = [cut.period for cut in status.periods if by in receipts.arrived(cut.receipts)]
    newest = max((cut.period for cut in status.periods), default="")
    return str(period) not in got and str(period) >= min(got, default=newest)


def exported_to(statuses: Sequence[Status], to: Collection[str] | None = None) -> Period | None:
    """The last period up to which nobody owes any: the one before the first that is owed.

    None where no collector has any ledger.
    """
    period = min(map(first_owed, statuses), default=NEVER)
    while period != NEVER and not any(owes(status, period, to) for status in statuses):
        period = period.next
    return None if period == NEVER else period.previous


def periods_to_run(
    statuses: Sequence[Status],
    due: Sequence[Period],
    to: Collection[str] | None = None,
    *,
    silent: bool,
) -> list[Period]:
    """Of the due periods those that some collector has not seen sent, oldest first.

    Where everything is sent but collectors are ``silent``, the newest one is run again: what the
    silent ones hold is unknown, and unknown is never reported as nothing.
    """
    missing = [period for period in due if any(owes(one, period, to) for one in statuses)]
    return missing or list(due[-1:] if silent else [])


def left_out(answered: Mapping[str, Status]) -> dict[str, Gap | None]:
    """The addresses whose answers must not be used, in their order.

    None for a second address of the same collector. A gap for another collector that has the name
    or a ledger of one before: its packages could not be told from that one's.
    """
    found: dict[str, Gap | None] = {}
    named: dict[str, set[str]] = {}
    owners: dict[str, str] = {}
    for url, status in answered.items():
        name, ledgers = status.collector, {ledger.id for ledger in status.ledgers}
        shared = sorted(ledgers & owners.keys())
        if name in named:
            same = ledgers == named[name] or bool(ledgers & named[name])
            why = f"another collector has the name {name} too: give each a USAGE_NAME of its own"
            found[url] = None if same else Gap(url, why)
        elif shared:
            why = f"its ledger is that of {owners[shared[0]]} too: one of the two is a copy"
            found[url] = Gap(name, why, shared[0])
        else:
            named[name] = ledgers
            owners |= dict.fromkeys(ledgers, name)
    return found


def previous_cut(status: Status, period: Period) -> Cut | None:
    """The last cut that a collector made before this period's."""
    earlier = [cut for cut in status.periods if cut.period < str(period)]
    return max(earlier, key=lambda cut: cut.period, default=None)


def covered_from(status: Status, period: Period) -> int:
    """Since when (µs) everything received belongs to this period."""
    if cut := previous_cut(status, period):
        return microseconds(cut.cut_at)
    return min((microseconds(ledger.began) for ledger in status.ledgers), default=0)


def since(status: Status, period: Period) -> int | None:
    """When (µs) a collector began, where no period of it was cut before this one."""
    return None if previous_cut(status, period) else covered_from(status, period)


def ledgers_of(status: Status, cut: Cut) -> tuple[str, ...]:
    """The ledgers that a collector had when it made the cut."""
    return tuple(ledger.id for ledger in status.ledgers if ledger.began <= cut.cut_at)


def vanished(
    before: Manifest | None, names: Iterable[str], held: Collection[str], *, silent: bool
) -> list[Gap]:
    """The collectors of the month before that nobody lists any more.

    Not those whose ledgers are all ``held`` by others, with what is lost of them told. Not while
    others are ``silent``: one of those may be it.
    """
    if before is None or silent:
        return []
    gone = {
        str(line.get("collector"))
        for line in before.lines("collectors")
        if not _all_held(line.get("ledgers"), held)
    } - set(names)
    return [
        Gap(name, "it was in the period before and is no longer listed") for name in sorted(gone)
    ]


def _all_held(ledgers: object, held: Collection[str]) -> bool:
    return isinstance(ledgers, list) and bool(ledgers) and all(one in held for one in ledgers)


def heads(before: Manifest | None) -> dict[tuple[str, int], str]:
    """The chain's hash (hex) at each (ledger, position) where the month before ended."""
    found = {}
    for line in before.lines("files") if before else []:
        last = line.get("last")
        if isinstance(last, int):
            found[str(line.get("ledger")), last] = str(line.get("after"))
    return found


@dataclass(frozen=True, slots=True)
class Delivered:
    """The manifests that are known to have been delivered: revision to the file's SHA-256."""

    manifests: Mapping[int, frozenset[str]]

    @property
    def newest(self) -> int:
        """The latest revision, 0 where there is none."""
        return max(self.manifests, default=0)

    def holds(self, revision: int, sha256: str) -> bool:
        """Whether this very manifest was delivered as that revision."""
        return sha256 in self.manifests.get(revision, frozenset())


def delivered(cuts: Iterable[Cut], held: Iterable[Mapping[str, str]]) -> Delivered:
    """What collectors' receipts and the destinations themselves say was delivered."""
    named = [
        (file.name, file.sha256)
        for cut in cuts
        for receipt in cut.receipts
        if receipt.state in receipts.SENT
        for file in receipt.files
    ]
    named += [pair for files in held for pair in files.items()]
    found: dict[int, set[str]] = {}
    for name, sha256 in named:
        if revision := revision_of(name):
            found.setdefault(revision, set()).add(sha256)
    return Delivered({revision: frozenset(hashes) for revision, hashes in found.items()})


def there(cuts: Iterable[Cut], destination: str) -> dict[str, str]:
    """The files (name to SHA-256) that receipts say a destination has."""
    found: dict[str, str] = {}
    for cut in cuts:
        found |= receipts.arrived(cut.receipts).get(destination, {})
    return found


def settled(cuts: Iterable[Cut], destination: str, revision: int) -> frozenset[str]:
    """The files that came to a destination with, or before, the manifest of an older revision."""
    found: set[str] = set()
    for cut in cuts:
        names: set[str] = set()
        for receipt in cut.receipts:
            if receipt.by == destination and receipt.state in receipts.SENT:
                names |= {file.name for file in receipt.files}
                if any(0 < (revision_of(file.name) or 0) < revision for file in receipt.files):
                    found |= names
    return frozenset(found)
