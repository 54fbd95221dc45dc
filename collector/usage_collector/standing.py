"""How months and backups stand at all collectors, by what each tells of itself.

Who does not answer is named beside the answer: what nobody knows is not "none".
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from usage_collector import receipts
from usage_collector.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from usage_collector.peers import Cut, Notes, Status

SECONDS = 5.0
"""How long people wait for the other collectors, at most."""
_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Told:
    """What one collector tells: its ledgers, cuts and receipts, and the notes that jobs left."""

    status: Status
    notes: Notes


def ask(others: Mapping[str, Callable[[], Told]]) -> tuple[list[Told], dict[str, str]]:
    """What each of them (by address) tells; of those that do not, or not in time, why not."""
    told, silent = [], {}
    pool = ThreadPoolExecutor(_AT_ONCE, "standing")
    try:
        asked = {url: pool.submit(one) for url, one in others.items()}
        done, _ = wait(asked.values(), SECONDS)
        for url, future in asked.items():
            try:
                if future in done:
                    told.append(future.result())
                else:
                    silent[url] = f"{url} did not answer within {SECONDS:.0f} seconds"
            except UsageError as error:
                silent[url] = str(error)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return told, silent


def answer(told: Iterable[Told]) -> dict[str, Any]:
    """Each collector with its backups, the months of all of them, the newest first, what is next.

    A collector that was asked under two addresses is told once, a copy of it by another name too.
    """
    each = {(one.status.collector, *_ledgers(one.status)): one for one in told}.values()
    exports = [one.notes.export for one in each if one.notes.export]
    return {
        "collectors": sorted(map(_collector, each), key=lambda one: str(one["collector"])),
        "months": months([one.status for one in each]),
        "export": max(exports, key=lambda one: (one.period, one.due), default=None),
    }


def months(all_: Sequence[Status]) -> list[dict[str, Any]]:
    """Each month that any of them cut: how many events, who did not cut it, and where it is.

    Who began after a month was first cut has nothing in it, and is not among ``not_cut``. Who is
    known to have been there, and lost since what it held, is among ``lost``.
    """
    periods = {cut.period for one in all_ for cut in one.periods}
    return [_month(period, all_) for period in sorted(periods, reverse=True)]


def _month(period: str, all_: Sequence[Status]) -> dict[str, Any]:
    cuts = [(one.collector, cut) for one in all_ if (cut := one.cut(period)) is not None]
    cut_at = min(cut.cut_at for _, cut in cuts)
    late = [
        one.collector
        for one in all_
        if one.cut(period) is None and any(ledger.began < cut_at for ledger in one.ledgers)
    ]
    cutting = {collector for collector, _ in cuts}
    lost = {
        loss.collector
        for one in all_
        for loss in one.losses
        if loss.began < cut_at < loss.anew and loss.collector not in cutting
    }
    places = dict.fromkeys(receipt.by for _, cut in cuts for receipt in cut.receipts)
    return {
        "period": period,
        "cut_at": cut_at,
        "count": sum(cut.count for _, cut in cuts),
        "not_cut": sorted(late),
        "lost": sorted(lost),
        "destinations": [_destination(by, cuts) for by in places],
    }


def _destination(by: str, cuts: Iterable[tuple[str, Cut]]) -> dict[str, Any]:
    """What became of a month at one destination, and of which collectors it lacks files.

    ``files`` is how many; None: nothing of that collector was ever promised or sent there.
    """
    lacking, states, times = [], [], []
    for collector, cut in cuts:
        mine = [one for one in cut.receipts if one.by == by]
        waiting = len(receipts.awaited(mine).get(by, ()))
        if waiting or not mine:
            lacking.append({"collector": collector, "files": waiting if mine else None})
        states.append(receipts.state(mine))
        times += [one.at for one in mine if one.at]
    state = min(states, key=receipts.STATES.index)
    return {"by": by, "state": state, "at": max(times, default=None), "lacking": lacking}


def _collector(told: Told) -> dict[str, Any]:
    status = told.status
    return {
        "collector": status.collector,
        "zone": status.zone,
        "unreported": sum(_behind(status, one.id, one.first, one.last) for one in status.ledgers),
        "backups": msgspec.to_builtins(told.notes.backups),
    }


def _ledgers(status: Status) -> list[str]:
    return [ledger.id for ledger in status.ledgers]


def _behind(status: Status, ledger: str, first: int, last: int) -> int:
    """How many events of a ledger came after its last cut."""
    ends = [cut.ends.get(ledger, 0) for cut in status.periods]
    return max(0, last - max(first - 1, *ends, 0))
