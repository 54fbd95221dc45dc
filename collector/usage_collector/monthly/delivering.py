"""The last steps of a month: manifest, destinations, receipts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from usage_collector.errors import DeliveryFailed
from usage_collector.monthly import plan
from usage_collector.monthly.handing import Ready, hand_over, keep_manifest
from usage_collector.monthly.keeping import keep_delivered
from usage_collector.monthly.summary import Outcome
from usage_collector.packages import manifest as manifests
from usage_collector.packages.manifest import Facts, Source, manifest_name
from usage_collector.periods import microseconds
from usage_collector.report import as_letter, summaries
from usage_collector.targets import Letter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from usage_collector.monthly.parts import Order, Parts
    from usage_collector.periods import Period
    from usage_collector.totals.month import Line, Month


@dataclass(frozen=True, slots=True)
class Counted:
    """A month that was counted, and the lines of what it took over from the one before."""

    month: Month
    resumed: Sequence[Line]


def deliver(order: Order, period: Period, spool: Path, parts: Parts, counted: Counted) -> Outcome:
    """Hands over what was proved and counted, and tells the collectors."""
    held, failed = _held(order, period, parts)
    keep_delivered(order, period, parts, held)
    known = plan.delivered((fetched.cut for _, fetched in parts.fetched), held.values())
    packages = [
        path.with_name(file.name)
        for _, fetched in parts.fetched
        for file, (_, path) in zip(
            parts.files[fetched.status.collector], fetched.packages, strict=True
        )
    ]
    revision, manifest, people, letter = _manifest(order, period, parts, counted, known)
    for name, content in (*people, manifest):
        (spool / name).write_bytes(content)
    # The manifest comes last: where it is, everything that it lists is.
    common = [spool / name for name, _ in (*people, manifest)]
    month = Ready(period, revision, parts, packages, common, letter)
    unkept = keep_manifest(month, manifest[1])
    delivered, told, unnoted = hand_over(order, month, held)
    failed += told
    errors = [*failed, *unkept, *unnoted]
    clean = not parts.gaps and not errors
    return Outcome(
        result="exported" if clean else "failed" if not delivered else "incomplete",
        period=str(period),
        revision=revision,
        files=len(packages),
        events=sum(file.contents.count for file in parts.all_files),
        hours=counted.month.after.all.hours,
        gaps=[str(gap) for gap in parts.gaps],
        delivered=delivered,
        failed=failed,
        error="; ".join(errors) or None,
    )


def _held(
    order: Order, period: Period, parts: Parts
) -> tuple[dict[str, Mapping[str, str]], list[str]]:
    """What each destination has of the period, by receipts where it cannot show it.

    One that cannot be reached holds the others not back.
    """
    held, errors = {}, []
    cuts = [fetched.cut for _, fetched in parts.fetched]
    for destination in order.destinations:
        try:
            shown = destination.held(str(period))
            held[destination.name] = plan.there(cuts, destination.name) if shown is None else shown
        except DeliveryFailed as error:
            errors.append(str(error))
    return held, errors


_Named = tuple[str, bytes]


def _manifest(
    order: Order, period: Period, parts: Parts, counted: Counted, known: plan.Delivered
) -> tuple[int, _Named, list[_Named], Letter]:
    """Manifest and what people read: as delivered if nothing changed, else the next revision."""
    sources = [
        Source(
            fetched.status.collector,
            fetched.status.zone,
            microseconds(fetched.cut.cut_at),
            plan.ledgers_of(fetched.status, fetched.cut),
        )
        for _, fetched in parts.fetched
    ]

    def made(revision: int) -> tuple[int, _Named, list[_Named], Letter]:
        facts = Facts(
            period=str(period),
            revision=revision,
            files=parts.all_files,
            sources=sources,
            gaps=sorted(parts.gaps, key=lambda gap: (gap.source, gap.ledger or "", gap.reason)),
            month=counted.month,
            resumed=counted.resumed,
        )
        body = manifests.content(facts)
        people = summaries(body, revision, order.keys.proof_kid)
        body["summaries"] = manifests.summary_lines(people)
        manifest = (manifest_name(revision), manifests.signed(body, order.keys))
        return revision, manifest, people, Letter(*as_letter(body, order.keys.proof_kid))

    if known.newest:
        again = made(known.newest)
        if known.holds(known.newest, hashlib.sha256(again[1][1]).hexdigest()):
            return again
    return made(known.newest + 1)
