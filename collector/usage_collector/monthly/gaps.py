"""What a collector's part of a period lacks, by what it says of its ledgers. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from usage_collector.monthly.plan import covered_from, previous_cut
from usage_collector.packages.manifest import CameBack, Gap
from usage_collector.periods import microseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from usage_collector.packages.manifest import Manifest
    from usage_collector.peers import Cut, Ledger, Loss, Status
    from usage_collector.periods import Period

_ENDLESS = 2**62


def found(status: Status, period: Period, cut: Cut, before: Manifest | None) -> list[Gap]:
    """Everything that is known to be missing from what this collector gave for the period.

    ``before`` is the manifest of the period before. Old trouble stays in the period it befell.
    """
    return [
        *_troubled(status, period, cut),
        *_unjoined(status, period, cut),
        *lost(status, before),
    ]


def _troubled(status: Status, period: Period, cut: Cut) -> Iterator[Gap]:
    since, until = covered_from(status, period), microseconds(cut.cut_at)
    lives = _lives(status)
    for number, (ledger, began, ended) in enumerate(lives):
        why = f": {ledger.problem}" if ledger.problem else ""
        if number and since < began <= until:
            reason = f"a ledger began anew at {ledger.began:%Y-%m-%dT%H:%M:%SZ}"
            if back := _came_back(lives[number - 1][0], cut):
                reason += f"; {back}"
            yield Gap(status.collector, reason, ledger.id, back)
        if not ledger.readable and began <= until and ended > since:
            yield Gap(status.collector, f"a ledger cannot be read{why}", ledger.id)
        elif ledger.damaged and since < ended <= until:
            yield Gap(status.collector, f"a ledger was set aside as damaged{why}", ledger.id)


def _came_back(before: Ledger, cut: Cut) -> CameBack | None:
    """What of a ledger that was lost is in the cut, and what nobody has any more."""
    if not before.restored or before.id not in cut.ends:
        return None
    holes = [run for run in before.lost if run[0] <= before.last]
    starts = [before.first, *(last + 1 for _, last in holes)]
    ends = [*(first - 1 for first, _ in holes), before.last]
    runs = tuple(run for run in zip(starts, ends, strict=True) if run[0] <= run[1])
    end = max([before.last, *(last for _, last in before.lost)])
    return CameBack(before.id, runs, tuple(before.lost), end)


def untold(statuses: Iterable[Status], told: Iterable[Gap]) -> set[str]:
    """The ledgers that came back, and of which no gap says that what came after is gone for good.

    That is where one came to a collector that was there already: no ledger began after it.
    """
    back = {one.id for status in statuses for one in status.ledgers if one.restored}
    return back - {gap.came_back.ledger for gap in told if gap.came_back}


def _lives(status: Status) -> list[tuple[Ledger, int, int]]:
    """The ledgers with the moments (µs) from and to which they were live, the oldest first."""
    ledgers = sorted(status.ledgers, key=lambda one: (one.began, one.id))
    began = [*(microseconds(one.began) for one in ledgers), _ENDLESS]
    return [(one, *moments) for one, moments in zip(ledgers, pairwise(began), strict=True)]


def _unjoined(status: Status, period: Period, cut: Cut) -> Iterator[Gap]:
    """Where a cut's positions do not follow those of the cut before, or each other."""
    purged = {ledger.id: ledger.purged_unsent for ledger in status.ledgers}
    ends = _ends(status, period)
    for ledger in status.ledgers:
        reach = max((file.last for file in cut.files if file.ledger == ledger.id), default=_ENDLESS)
        for first, last in ledger.purged_unsent:
            if last > ends.get(ledger.id, 0) and first <= reach:
                reason = f"positions {first} to {last} were purged before they were sent"
                yield Gap(status.collector, reason, ledger.id)
    beyond = [(name, end + 1, end) for name, end in cut.ends.items()]
    for name, start, end in sorted([*_stretches(cut), *beyond]):
        first, last = ends.get(name, 0) + 1, start - 1
        told = any(a <= first and last <= b for a, b in purged.get(name, ()))
        if first <= last and not told:
            reason = f"positions {first} to {last} are in no period"
            yield Gap(status.collector, reason, name)
        ends[name] = max(ends.get(name, 0), end)


def _stretches(cut: Cut) -> list[tuple[str, int, int]]:
    """Ledger, first and last of each file."""
    return [(file.ledger, file.first, file.last) for file in cut.files]


def _ends(status: Status, period: Period) -> dict[str, int]:
    """The position of each ledger up to which earlier periods hold everything."""
    ends: dict[str, int] = {}
    for cut in status.periods:
        if cut.period < str(period):
            beyond = [(name, end, end) for name, end in cut.ends.items()]
            for name, _, end in [*_stretches(cut), *beyond]:
                ends[name] = max(ends.get(name, 0), end)
    return ends


def lost(status: Status, before: Manifest | None) -> list[Gap]:
    """The ledgers that the month before was delivered from and the collector no longer has.

    One that was emptied by the loss owes nothing of the month itself, and has lost it all the same.
    """
    known = {ledger.id for ledger in status.ledgers}
    return [
        Gap(status.collector, "a ledger of the period before is no longer there", str(ledger))
        for line in (before.lines("collectors") if before else [])
        if line.get("collector") == status.collector
        for ledger in _texts(line.get("ledgers"))
        if ledger not in known
    ]


def began_anew(
    status: Status,
    period: Period,
    losses: Iterable[Loss],
    manifests: Iterable[Manifest | None],
) -> list[Gap]:
    """That a collector lost, in or after the period, what no manifest can have told of.

    ``losses`` are what all collectors remember of each other. ``manifests`` are those of the period
    before and of this one as it was delivered: of what these list `lost` tells, now or next month.
    """
    if any(lost(status, manifest) for manifest in manifests):
        return []
    before, made = previous_cut(status, period), status.cut(str(period))
    since = microseconds(before.cut_at) if before else 0
    # Not where a ledger of before came back: that the next one began anew is a gap by itself.
    ends = [microseconds(one.began) for one in status.ledgers]
    until = min([*ends, *([microseconds(made.cut_at)] if made else [])], default=0)
    anew = {
        one.anew
        for one in losses
        if one.collector == status.collector
        and microseconds(one.began) < period.end
        and since < microseconds(one.anew) <= until
    }
    reason = "it lost what it held, and began anew at {:%Y-%m-%dT%H:%M:%SZ}"
    return [Gap(status.collector, reason.format(one)) for one in sorted(anew)]


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []
