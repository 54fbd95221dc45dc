"""A month's run: what `plan` decides, done."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from usage_collector.errors import PeerUnavailable, UsageError
from usage_collector.monthly import earlier, gaps, plan
from usage_collector.monthly.asking import ask_all, at_once, gap_of, nobody
from usage_collector.monthly.before import look
from usage_collector.monthly.delivering import Counted, deliver, look_there
from usage_collector.monthly.fetching import Unproved, counted_before, fetch, prove
from usage_collector.monthly.keeping import keep_delivered
from usage_collector.monthly.parts import Parts
from usage_collector.monthly.recalling import recall, untold
from usage_collector.monthly.standing import complete, find, leave_delivered, sources
from usage_collector.monthly.summary import Outcome
from usage_collector.packages.covering import first
from usage_collector.packages.manifest import Gap, Source
from usage_collector.packages.sorting import Sorter
from usage_collector.periods import due_periods, microseconds
from usage_collector.totals.month import Month
from usage_collector.words import many

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from usage_collector.monthly.before import Before
    from usage_collector.monthly.fetching import Fetched
    from usage_collector.monthly.parts import Order
    from usage_collector.monthly.standing import Standing
    from usage_collector.packages.manifest import Manifest
    from usage_collector.peers import Peer, Status
    from usage_collector.periods import Due, Period
    from usage_collector.totals.month import Earlier

_log = logging.getLogger(__name__)


def run_due(order: Order, rule: Due, now: datetime) -> Outcome:
    """Every period that is due and not sent yet, oldest first; the outcome is the last one's.

    An earlier period that did not come out well makes the whole run incomplete.
    """
    with ExitStack() as stack:
        answered, silent = ask_all(stack, order)
        if not answered:
            raise nobody(silent)
        statuses = [status for _, status in answered]
        due = due_periods(min(map(plan.first_owed, statuses)), now, rule)
        to = order.names
        periods = plan.periods_to_run(statuses, due, to, silent=bool(silent))
    if not periods:
        return Outcome("nothing-due", exported_to=plan.exported_to(statuses, to))
    return _together([_attempt(order, period) for period in periods])


def _attempt(order: Order, period: Period) -> Outcome:
    """One of several periods: what fails in one must not hold back the next."""
    try:
        return run(order, period)
    except UsageError as error:
        return Outcome("failed", str(period), error=str(error))


def _together(outcomes: Sequence[Outcome]) -> Outcome:
    last = outcomes[-1]
    bad = [one for one in outcomes if not one.ok]
    if len(outcomes) == 1 or not bad:
        return last
    errors = [f"{one.period}: {one.error}" for one in bad if one.error]
    return Outcome(
        result="failed" if any(one.result == "failed" for one in bad) else "incomplete",
        period=last.period,
        revision=last.revision,
        files=last.files,
        events=last.events,
        hours=last.hours,
        gaps=[f"{one.period}: {gap}" for one in bad for gap in one.gaps],
        delivered=last.delivered,
        failed=[f"{one.period}: {failed}" for one in bad for failed in one.failed],
        error="; ".join(errors) or None,
        exported_to=last.exported_to,
    )


def run(order: Order, period: Period) -> Outcome:
    """One period: cut, fetched, proved, counted, delivered, receipted.

    `PeerUnavailable` only when there is nothing at all to deliver; else what is missing is a gap.
    """
    spool = order.spool / str(period)
    spool.mkdir()
    with ExitStack() as stack:
        parts = Parts()
        answered, silent = ask_all(stack, order)
        parts.gaps += silent
        if not answered:
            raise nobody(silent)
        owing = [one for one in answered if plan.first_owed(one[1]) <= period]
        _fetch_all(order, period, spool, owing, parts)
        uses = stack.enter_context(Sorter(spool))
        peers = [peer for peer, _ in parts.fetched]
        proofs = _proofs(order, parts)
        before = look(order, period, proofs, parts.fetched)
        there = look_there(order, period, parts)
        standing = find(order, period, peers, proofs, there.known)
        if standing:
            leave_delivered(order, standing, parts, spool / "kept", uses)
        _prove_all(order, period, before.manifest, uses, parts)
        if not parts.fetched:
            why = "; ".join(map(str, parts.gaps)) or "no collector had begun then"
            raise PeerUnavailable(f"nothing of {period} can be exported: {why}")
        names = [*order.retired, *(status.collector for _, status in answered)]
        held = {ledger.id for _, status in answered for ledger in status.ledgers}
        untold = gaps.untold((status for _, status in answered), parts.gaps)
        gone = plan.vanished(before.manifest, names, held - untold, silent=bool(silent))
        parts.gaps += [*before.gaps, *gone]
        for _, status in answered:
            if plan.first_owed(status) > period:
                lost = gaps.lost(status, before.manifest)
                parts.gaps += [gap for gap in lost if gap.ledger not in held]
        keep_delivered(order, period, parts, there.held)
        known = (before.manifest, standing.manifest if standing else None)
        parts.gaps += _begun_anew(period, answered, parts, known)
        if standing:
            complete(order, standing, parts, spool / "kept", uses)
        recalled = _recall(order, before, parts, stack)
        month = _count(period, before, uses, parts, recalled, standing)
        counted = Counted(month, before.resumed, before.announced)
        outcome = deliver(order, period, spool, parts, counted, there, standing)
        return replace(outcome, exported_to=_exported_to(order, (peer for peer, _ in answered)))


def _exported_to(order: Order, peers: Iterable[Peer]) -> Period | None:
    """The same once receipts were given; None when one of the collectors has gone meanwhile."""
    try:
        return plan.exported_to([peer.status() for peer in peers], order.names)
    except UsageError:
        return None


def _fetch_all(
    order: Order,
    period: Period,
    spool: Path,
    owing: Sequence[tuple[Peer, Status]],
    parts: Parts,
) -> None:
    with at_once() as pool:
        under_way = [
            (peer, status, pool.submit(fetch, peer, period, order.limits, spool / f"peer-{n}"))
            for n, (peer, status) in enumerate(owing)
        ]
        for peer, status, fetching in under_way:
            try:
                parts.fetched.append((peer, fetching.result()))
            except UsageError as error:
                order.say(f"{peer.url}: {error}")
                parts.gaps.append(gap_of(status.collector, error))


def _prove_all(
    order: Order, period: Period, before: Manifest | None, uses: Sorter, parts: Parts
) -> None:
    proved = []
    for peer, fetched in parts.fetched:
        name, kept = fetched.status.collector, uses.keep()
        try:
            files = prove(fetched, period, plan.heads(before), uses.add)
        except Unproved as error:
            uses.take_back(kept)
            order.say(f"{peer.url}: {error}")
            parts.gaps.append(gap_of(name, error))
            continue
        proved.append((peer, fetched))
        parts.files[name] = files
        parts.gaps += gaps.found(fetched.status, period, fetched.cut, before)
        events = sum(file.contents.count for file in files)
        order.say(f"{name}: {many(len(files), 'package')} with {many(events, 'event')}, verified")
    parts.fetched = proved


def _begun_anew(
    period: Period,
    answered: Sequence[tuple[Peer, Status]],
    parts: Parts,
    manifests: Sequence[Manifest | None],
) -> list[Gap]:
    """Who lost what it held, by what the others remember: also of those that owe nothing any more.

    Of one whose part could not be had that is a gap already.
    """
    losses = [loss for _, status in answered for loss in status.losses]
    found = [fetched.status for _, fetched in parts.fetched]
    found += [status for _, status in answered if plan.first_owed(status) > period]
    return [gap for one in found for gap in gaps.began_anew(one, period, losses, manifests)]


def _proofs(order: Order, parts: Parts) -> dict[str, bytes]:
    """The public keys by which this fleet's manifests may be signed, old ones too."""
    known = {order.keys.proof_kid: order.keys.public}
    for _, fetched in parts.fetched:
        known |= fetched.proofs
    return known


def _recall(
    order: Order, before: Before, parts: Parts, stack: ExitStack
) -> list[Iterator[Earlier]]:
    """What collectors cannot tell of earlier periods and packages can; the rest is a gap."""
    fetched = [one for _, one in parts.fetched]
    unread = {(one.status.collector, period) for one in fetched for period in one.untold}
    found = []
    for manifest in filter(None, (before.manifest, before.older)):
        counted, missing = recall(order, manifest, untold(manifest, fetched), stack)
        found.append(counted)
        unread = {one for one in unread if one[1] != manifest.period}
        # One that was retired gave all it had, and nothing comes to it any more.
        unread |= {(name, manifest.period) for name in missing - order.retired}
    reason = "what was counted in {} cannot be told, so it may be counted again"
    parts.gaps += [Gap(name, reason.format(period)) for name, period in sorted(unread)]
    return found


def _count(
    period: Period,
    before: Before,
    uses: Sorter,
    parts: Parts,
    recalled: Sequence[Iterator[Earlier]],
    standing: Standing | None,
) -> Month:
    parts.sources = sources(standing, [_source(fetched, period) for _, fetched in parts.fetched])
    since = _since(period, parts, standing)
    # The first cut counts for all, so that one made later changes no estimate of the others.
    counted_at = min((source.cut_at for source in parts.sources), default=period.end)
    month = Month(counted_at, covered=(since, counted_at))
    streams = [stream for _, fetched in parts.fetched for stream in counted_before(fetched)]
    streams += [*map(iter, before.estimates), *recalled]
    for use in before.carried:
        uses.add(use)
    for group, known in earlier.paired(uses.groups(), streams):
        month.add(group, known)
    return month


def _since(period: Period, parts: Parts, standing: Standing | None) -> int:
    """From when on (µs) everything received is in the month.

    From the cut before, or where there was none, from when the first collector began: one that
    came later is not missing before.
    """
    nobody = first(parts.sources)
    if nobody is not None:
        return nobody
    statuses = [fetched.status for _, fetched in parts.fetched]
    found = [plan.covered_from(one, period) for one in statuses if plan.previous_cut(one, period)]
    if parts.kept and standing and standing.since:
        found.append(standing.since)
    return max(found, default=period.start)


def _source(fetched: Fetched, period: Period) -> Source:
    return Source(
        fetched.status.collector,
        fetched.status.zone,
        microseconds(fetched.cut.cut_at),
        plan.ledgers_of(fetched.status, fetched.cut),
        plan.since(fetched.status, period),
        fetched.cut.early_events,
    )
