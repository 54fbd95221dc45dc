"""The last steps of a month: manifest, destinations, receipts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from usage_collector.errors import DeliveryFailed, UsageError
from usage_collector.monthly import plan
from usage_collector.monthly.keeping import keep_delivered
from usage_collector.monthly.summary import Outcome
from usage_collector.packages import manifest as manifests
from usage_collector.packages.manifest import Facts, Source, manifest_name
from usage_collector.periods import microseconds
from usage_collector.report import summaries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from usage_collector.monthly.parts import Order, Parts
    from usage_collector.periods import Period
    from usage_collector.totals.month import Line, Month

BY = "usage-collector export-month"


@dataclass(frozen=True, slots=True)
class Counted:
    """A month that was counted, and the lines of what it took over from the one before."""

    month: Month
    resumed: Sequence[Line]


def deliver(order: Order, period: Period, spool: Path, parts: Parts, counted: Counted) -> Outcome:
    """Hands over what was proved and counted, and tells the collectors."""
    held, errors = _held(order, period)
    keep_delivered(order, period, parts, held)
    known = plan.delivered((fetched.cut for _, fetched in parts.fetched), held.values())
    files = [
        path.with_name(file.name)
        for _, fetched in parts.fetched
        for file, (_, path) in zip(
            parts.files[fetched.status.collector], fetched.packages, strict=True
        )
    ]
    revision, manifest, people = _manifest(order, period, parts, counted, known)
    for name, content in (manifest, *people):
        (spool / name).write_bytes(content)
    named = (manifest[0], hashlib.sha256(manifest[1]).hexdigest())
    _receipts(period, parts, "exported", named)
    delivered = []
    for destination in order.destinations:
        if destination.name not in held:
            continue
        try:
            # The manifest comes last: where it is, everything that it lists is.
            paths = [*files, *(spool / name for name, _ in people), spool / manifest[0]]
            new = destination.deliver(str(period), paths)
            delivered.append(f"{destination.name}/{period}")
            order.say(f"{destination.name}: {len(new)} of {len(paths)} files were new")
        except DeliveryFailed as error:
            errors.append(str(error))
    if not errors:
        errors = _receipts(period, parts, "sent", named)
    clean = not parts.gaps and not errors
    return Outcome(
        result="exported" if clean else "failed" if not delivered else "incomplete",
        period=str(period),
        revision=revision,
        files=len(files),
        events=sum(file.contents.count for file in parts.all_files),
        hours=counted.month.after.all.hours,
        gaps=[str(gap) for gap in parts.gaps],
        delivered=delivered,
        error="; ".join(errors) or None,
    )


def _held(order: Order, period: Period) -> tuple[dict[str, Mapping[str, str]], list[str]]:
    """What each destination has of the period; one that cannot tell holds the others not back."""
    held, errors = {}, []
    for destination in order.destinations:
        try:
            held[destination.name] = destination.held(str(period))
        except DeliveryFailed as error:
            errors.append(str(error))
    return held, errors


_Named = tuple[str, bytes]


def _manifest(
    order: Order, period: Period, parts: Parts, counted: Counted, known: plan.Delivered
) -> tuple[int, _Named, list[_Named]]:
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

    def made(revision: int) -> tuple[int, _Named, list[_Named]]:
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
        return revision, (manifest_name(revision), manifests.signed(body, order.keys)), people

    if known.newest:
        again = made(known.newest)
        if known.holds(known.newest, hashlib.sha256(again[1][1]).hexdigest()):
            return again
    return made(known.newest + 1)


def _receipts(period: Period, parts: Parts, state: str, manifest: tuple[str, str]) -> list[str]:
    """Tells every collector what became of its packages; what went wrong doing so."""
    errors = []
    for peer, fetched in parts.fetched:
        named = [(file.name, file.seal.sha256) for file in parts.files[fetched.status.collector]]
        files = [{"name": name, "sha256": sha256} for name, sha256 in [*named, manifest]]
        try:
            peer.receipt(str(period), state, files, BY)
        except UsageError as error:
            errors.append(f"{state} is not noted at {fetched.status.collector}: {error}")
    return errors
