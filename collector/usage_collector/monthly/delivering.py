"""The last steps of a month: manifest, destinations, receipts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from usage_collector.errors import DeliveryFailed, UsageError
from usage_collector.monthly import plan
from usage_collector.monthly.summary import Outcome, as_csv
from usage_collector.packages import manifest as manifests
from usage_collector.packages.manifest import Source, manifest_name
from usage_collector.periods import microseconds

if TYPE_CHECKING:
    from pathlib import Path

    from usage_collector.monthly.parts import Order, Parts
    from usage_collector.periods import Period
    from usage_collector.totals.month import Month

BY = "usage-collector export-month"


def deliver(order: Order, period: Period, spool: Path, parts: Parts, month: Month) -> Outcome:
    """Hands over what was proved and counted, and tells the collectors."""
    held = [destination.held(str(period)) for destination in order.destinations]
    known = plan.delivered((fetched.cut for _, fetched in parts.fetched), held)
    revision, manifest = _manifest(order, period, parts, month, known)
    files = [
        path.with_name(file.name)
        for _, fetched in parts.fetched
        for file, (_, path) in zip(
            parts.files[fetched.status.collector], fetched.packages, strict=True
        )
    ]
    summary = spool / manifest_name(revision, "summary", "csv")
    summary.write_bytes(as_csv(str(period), month))
    name = spool / manifest_name(revision)
    name.write_bytes(manifest)
    sha256 = hashlib.sha256(manifest).hexdigest()
    _receipts(period, parts, "exported", (name.name, sha256))
    delivered, errors = [], []
    for destination in order.destinations:
        try:
            new = destination.deliver(str(period), [*files, summary, name])
            delivered.append(f"{destination.name}/{period}")
            order.say(f"{destination.name}: {len(new)} of {len(files) + 2} files were new")
        except DeliveryFailed as error:
            errors.append(str(error))
    if not errors:
        errors = _receipts(period, parts, "sent", (name.name, sha256))
    clean = not parts.gaps and not errors
    return Outcome(
        result="exported" if clean else "failed" if not delivered else "incomplete",
        period=str(period),
        revision=revision,
        files=len(files),
        events=sum(file.contents.count for file in parts.all_files),
        hours=month.after.all.hours,
        gaps=[str(gap) for gap in parts.gaps],
        delivered=delivered,
        error="; ".join(errors) or None,
    )


def _manifest(
    order: Order, period: Period, parts: Parts, month: Month, known: plan.Delivered
) -> tuple[int, bytes]:
    """The manifest: the delivered one again if nothing has changed, else the next revision."""
    sources = [
        Source(
            fetched.status.collector,
            fetched.status.zone,
            microseconds(fetched.cut.cut_at),
            plan.ledgers_of(fetched.status, fetched.cut),
        )
        for _, fetched in parts.fetched
    ]
    gaps = sorted(parts.gaps, key=lambda gap: (gap.source, gap.ledger or "", gap.reason))

    def made(revision: int) -> bytes:
        body = manifests.payload(str(period), revision, parts.all_files, sources, gaps, month)
        return manifests.signed(body, order.keys)

    if known.newest:
        again = made(known.newest)
        if known.holds(known.newest, hashlib.sha256(again).hexdigest()):
            return known.newest, again
    return known.newest + 1, made(known.newest + 1)


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
