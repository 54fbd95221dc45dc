"""Which restores are to run: asked for by the spec, by annotations, or by what collectors lost."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from usage_operator import naming
from usage_operator.conditions import ready, runs
from usage_operator.manifests import backup, restore
from usage_operator.plan import Ref, place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from usage_operator.manifests import Context
    from usage_operator.plan import Fleet, Object
    from usage_operator.reconcile.observe import Observed

AGAIN = dt.timedelta(minutes=30)
"""After that time a restore that failed is tried again."""
SOURCE = "spec.restore.from"
_AUTO = "spec.backup.autoRestore"


@dataclass(frozen=True, slots=True)
class Restores:
    """What is to run, which jobs stay though nobody asks for them any more, and what is amiss."""

    wanted: tuple[restore.Wanted, ...] = ()
    kept: frozenset[Ref] = frozenset()
    waits: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()


def lacks(told: Mapping[str, Any], backed_up: str | None) -> str | None:
    """Say what a collector lost, by what it says of its ledgers; None: nothing is known of it.

    ``backed_up`` is when its last backup was taken: one that has no ledger from before that time
    began on an empty volume.
    """
    ledgers = told.get("ledgers") or []
    bad = [
        str(one["id"])
        for one in ledgers
        if not one.get("restored") and (one.get("damaged") or not one.get("readable", True))
    ]
    if bad:
        return f"damaged: {', '.join(sorted(bad))}"
    began = min((dt.datetime.fromisoformat(one["began"]) for one in ledgers), default=None)
    if began and backed_up and began > dt.datetime.fromisoformat(backed_up):
        return f"empty since {began.isoformat()}"
    return None


def decide(
    context: Context, seen: Observed, fleet: Fleet, lost: Mapping[str, str], now: dt.datetime
) -> Restores:
    """Put together all that is asked for; ``lost`` says of zones what their collectors lost."""
    there = {one["metadata"]["name"]: one for one in seen.of("Job")}
    failed = {run.job for run in runs(there.values(), ()) if run.state == "failed"}
    stale = {name for name in failed if now - _made(there[name]) > AGAIN}
    wanted, waits = [], []
    asked, troubles = _annotated(context, fleet)
    for one in (*_bootstrap(context), *asked, *_lost(context, lost)):
        name = restore.name(context, one)
        if name in stale:
            waits.append(f"{one.request}: it is tried again")
        elif name in there or _serving(seen, fleet, one):
            wanted.append(one)
        else:
            waits.append(f"{one.request}: waits until the collectors are ready")
    kept = frozenset(
        Ref("Job", name)
        for name, job in there.items()
        if name not in stale and "ttlSecondsAfterFinished" in job["spec"]
    )
    return Restores(tuple(wanted), kept, tuple(waits), tuple(troubles))


def _made(job: Object) -> dt.datetime:
    return dt.datetime.fromisoformat(job["metadata"]["creationTimestamp"])


def _bootstrap(context: Context) -> Iterator[restore.Wanted]:
    if context.spec.restore is None:
        return
    source = context.spec.restore.source
    names = tuple(source.collectors)
    claims = dict.fromkeys(source.volume.claim_names) if source.volume else {None: None}
    for claim in claims:
        shelf = backup.Shelf(claim, source.s3, source.encryption)
        request = f"{SOURCE} {claim}" if claim else SOURCE
        yield restore.Wanted(request, shelf, everyone=True, collectors=names)


def _own(context: Context, zone: str) -> backup.Shelf | None:
    """Tell where a zone's own backups lie."""
    own = context.spec.backup
    if own is None:
        return None
    bucket = own.destination.s3
    return backup.Shelf(None if bucket else context.names.backup(zone), bucket, own.encryption)


def _annotated(context: Context, fleet: Fleet) -> tuple[list[restore.Wanted], list[str]]:
    """Read the annotations: zones (``eu-1b``) or collectors (``eu-1b/1``), by commas."""
    wanted, troubles = [], []
    for name, dry_run in ((naming.RESTORES, False), (naming.RESTORE_PLANS, True)):
        text = context.resource.annotations.get(name, "")
        for word in dict.fromkeys(filter(None, map(str.strip, text.split(",")))):
            zone, slash, number = word.partition("/")
            shelf, count = _own(context, zone), fleet.running.get(zone, 0)
            request = f"{name} {word}"
            if not count or (slash and not (number.isdecimal() and int(number) < count)):
                there = ", ".join(fleet.running)
                text = f"{request}: there is no such collector: name one of the zones {there}, or "
                troubles.append(f"{text}ZONE/NUMBER")
            elif shelf is None:
                text = "spec.backup is not set, so there is nothing to restore from: set it, or "
                troubles.append(f"{request}: {text}name a source in {SOURCE}")
            else:
                ordinal = int(number) if number else None
                wanted.append(restore.Wanted(request, shelf, zone, ordinal, dry_run))
    return wanted, troubles


def _lost(context: Context, lost: Mapping[str, str]) -> Iterator[restore.Wanted]:
    for zone, what in lost.items():
        if shelf := _own(context, zone):
            yield restore.Wanted(f"{_AUTO} {zone}", shelf, zone, evidence=what)


def _serving(seen: Observed, fleet: Fleet, wanted: restore.Wanted) -> bool:
    """Tell whether all collectors that a restore is for can take it."""
    able = {where for pod in seen.collectors if ready(pod) and (where := place(pod))}
    return able >= {
        (zone, ordinal)
        for zone, count in fleet.running.items()
        for ordinal in range(count)
        if wanted.zone in (None, zone) and wanted.ordinal in (None, ordinal)
    }
