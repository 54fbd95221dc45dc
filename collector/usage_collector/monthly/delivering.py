"""The last steps of a month: manifest, destinations, receipts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from usage_collector.errors import DeliveryFailed
from usage_collector.monthly import plan
from usage_collector.monthly.handing import Ready, hand_over, keep_manifest
from usage_collector.monthly.recalling import shown_files
from usage_collector.monthly.standing import stands
from usage_collector.monthly.summary import Outcome
from usage_collector.packages import manifest as manifests
from usage_collector.packages.manifest import Facts, manifest_name
from usage_collector.report import as_letter, summaries
from usage_collector.targets import Letter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from usage_collector.monthly.parts import Order, Parts
    from usage_collector.monthly.standing import Standing
    from usage_collector.periods import Period
    from usage_collector.totals.month import Line, Month


@dataclass(frozen=True, slots=True)
class Counted:
    """A month that was counted, and the lines of what it took over from the one before."""

    month: Month
    resumed: Sequence[Line]
    announced: Sequence[Line]


@dataclass(frozen=True, slots=True)
class There:
    """What was delivered before: of each destination that can be reached, and in all.

    ``held`` is name to SHA-256, ``failed`` what the other destinations said.
    """

    held: Mapping[str, Mapping[str, str]]
    failed: Sequence[str]
    known: plan.Delivered


def look_there(order: Order, period: Period, parts: Parts) -> There:
    """Asks destinations and receipts what was delivered."""
    held, failed = _held(order, period, parts)
    known = plan.delivered((fetched.cut for _, fetched in parts.fetched), held.values())
    return There(held, failed, known)


def deliver(
    order: Order,
    period: Period,
    spool: Path,
    parts: Parts,
    counted: Counted,
    there: There,
    standing: Standing | None,
) -> Outcome:
    """Hands over what was proved and counted, and tells the collectors."""
    if standing and not stands(standing, parts):
        standing, parts.gaps = None, [*parts.gaps, *parts.unshown]
    if standing and parts.unshown:
        return _nothing_new(order, period, parts, there, standing)
    packages = [
        path.with_name(file.name)
        for _, fetched in parts.fetched
        for file, (_, path) in zip(
            parts.files[fetched.status.collector], fetched.packages, strict=True
        )
    ]
    packages += [path for _, path in parts.kept]
    revision, manifest, people, letter = _manifest(
        order, period, parts, counted, there.known, standing
    )
    for name, content in (*people, manifest):
        (spool / name).write_bytes(content)
    # The manifest comes last: where it is, everything that it lists is.
    common = [spool / name for name, _ in (*people, manifest)]
    month = Ready(period, revision, parts, packages, common, letter)
    unkept = keep_manifest(month, manifest[1])
    delivered, told, unnoted = hand_over(order, month, there.held)
    failed = [*there.failed, *told]
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


def _nothing_new(
    order: Order, period: Period, parts: Parts, there: There, standing: Standing
) -> Outcome:
    """The month was delivered, and what is there now is only part of it."""
    has = {
        one.name: standing.files.items() <= there.held[one.name].items()
        for one in order.destinations
        if one.name in there.held
    }
    lacking = "lacks packages that nobody shows now: run again when all collectors answer"
    failed = [*there.failed, *(f"{name} {lacking}" for name, whole in has.items() if not whole)]
    totals = standing.manifest.part("totals").get("after")
    hours = totals.get("hours") if isinstance(totals, dict) else None
    return Outcome(
        result="incomplete",
        period=str(period),
        revision=standing.manifest.revision,
        files=len(standing.files),
        events=sum(
            count
            for line in standing.manifest.lines("files")
            if isinstance(count := line.get("count"), int)
        ),
        hours=hours if isinstance(hours, float) else 0.0,
        gaps=[str(gap) for gap in parts.gaps],
        delivered=[one.where(str(period)) for one in order.destinations if has.get(one.name)],
        failed=failed,
        error="; ".join(failed) or None,
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
    order: Order,
    period: Period,
    parts: Parts,
    counted: Counted,
    known: plan.Delivered,
    standing: Standing | None,
) -> tuple[int, _Named, list[_Named], Letter]:
    """Manifest and what people read: as delivered if nothing changed, else the next revision."""
    if standing and (stays := _as_delivered(order, standing)):
        return stays

    def made(revision: int) -> tuple[int, _Named, list[_Named], Letter]:
        facts = Facts(
            period=str(period),
            revision=revision,
            files=parts.all_files,
            sources=parts.sources,
            gaps=sorted(parts.gaps, key=lambda gap: (gap.source, gap.ledger or "", gap.reason)),
            month=counted.month,
            resumed=counted.resumed,
            announced=counted.announced,
        )
        body = manifests.content(facts)
        people = summaries(body, revision, order.keys.proof_kid)
        body["summaries"] = manifests.summary_lines(people)
        manifest = (manifest_name(revision), manifests.signed(body, order.keys))
        return revision, manifest, people, Letter(*as_letter(body, order.keys.proof_kid))

    if known.newest:
        again = made(known.newest)
        if known.holds(known.newest, _sha256(again[1][1])):
            return again
    return made(known.newest + 1)


def _as_delivered(
    order: Order, standing: Standing
) -> tuple[int, _Named, list[_Named], Letter] | None:
    """The manifest that stands, with its files for people; None where these are nowhere.

    Another version of this program may make them otherwise, which is no news of the month.
    """
    manifest, kid = standing.manifest, standing.manifest.seal.proof_kid
    made = dict(summaries({**manifest.body, "summaries": []}, manifest.revision, kid))
    people = []
    for line in manifest.lines("summaries"):
        name = str(line.get("name"))
        found = [made.get(name), *shown_files(order, manifest.period, name)]
        same = [one for one in found if one and _sha256(one) == line.get("sha256")]
        if not same:
            return None
        people.append((name, same[0]))
    named = (manifest_name(manifest.revision), standing.body)
    return manifest.revision, named, people, Letter(*as_letter(dict(manifest.body), kid))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
