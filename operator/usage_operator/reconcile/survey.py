"""Observed objects → the facts that the status is judged by."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from usage_operator import duedates, naming, windows
from usage_operator.conditions import (
    BackupRule,
    Lost,
    Proxies,
    Trouble,
    ZoneFacts,
    ready,
    runs,
    stopping,
    why,
    young,
)
from usage_operator.plan import Ref, ingests, rolling

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from usage_operator.conditions import Facts, Run
    from usage_operator.manifests import Context
    from usage_operator.plan import Fleet, Object, Plan, Step
    from usage_operator.reconcile.observe import Observed
    from usage_operator.spec import Spec

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_NOTHING: Mapping[str, str] = {}


def _unmade(statefulset: Object | None, pods: int) -> str | None:
    """Say where to look when there are fewer pods than there should be."""
    if statefulset is None or pods >= statefulset["spec"].get("replicas", 1):
        return None
    name = statefulset["metadata"]["name"]
    return f"{name}-{pods} has yet to be made: if it stays so, see kubectl describe sts {name}"


def _zone(
    name: str,
    observed: Observed,
    fleet: Fleet,
    names: naming.Names,
    now: dt.datetime,
    waits: Mapping[str, str],
) -> ZoneFacts:
    statefulset = observed.objects.get(Ref("StatefulSet", names.zone(name)))
    pods = sorted(
        (pod for pod in observed.collectors if pod["metadata"]["labels"].get(naming.ZONE) == name),
        key=lambda pod: str(pod["metadata"]["name"]),
    )
    unready = [pod for pod in pods if not ready(pod)]
    late = [
        thing
        for thing in unready or [statefulset or {"metadata": {}}]
        if not (young(thing, now) or stopping(thing, now))
    ]
    return ZoneFacts(
        name=name,
        replicas=fleet.running[name],
        ready=sum(ready(pod) for pod in pods),
        leaving=fleet.leaving.get(name, 0),
        rolling=statefulset is None or rolling(statefulset),
        settling=not late or (statefulset is None and not pods),
        why=why((late or unready)[0]) if unready else _unmade(statefulset, len(pods)),
        waits="; ".join(
            f"{where}: {text}" for where, text in waits.items() if where.startswith(f"{name}/")
        )
        or None,
    )


def zones(
    observed: Observed,
    fleet: Fleet,
    names: naming.Names,
    now: dt.datetime,
    waits: Mapping[str, str] = _NOTHING,
) -> tuple[ZoneFacts, ...]:
    """Give the facts about each zone, those that left the spec last.

    ``waits``: what each collector that leaves waits for.
    """
    return tuple(_zone(name, observed, fleet, names, now, waits) for name in fleet.running)


def proxies(context: Context, observed: Observed, now: dt.datetime) -> Proxies | None:
    """Give the facts about the proxies, if there are to be any."""
    wanted = context.spec.ingest.proxy
    if wanted is None:
        return None
    there = observed.objects.get(Ref("Deployment", context.names.proxy))
    if there is None:
        return Proxies(wanted.replicas, 0, settling=True)
    status = there.get("status") or {}
    seen = status.get("observedGeneration") == there["metadata"].get("generation")
    counts = (status.get("availableReplicas") or 0, status.get("updatedReplicas") or 0)
    return Proxies(wanted.replicas, min(counts) if seen else 0, settling=young(there, now))


def backup_rule(spec: Spec, observed: Observed) -> BackupRule | None:
    """Say when backups are due; None where none are wanted."""
    wanted = spec.backup
    if wanted is None:
        return None
    since = {zone: moment for zone, job in _backups(observed).items() if (moment := made(job))}
    return BackupRule(wanted.schedule, wanted.time_zone, wanted.verify.every_days, since)


def backed_zones(observed: Observed) -> tuple[str, ...]:
    """Name the zones of which backups are taken, whatever the spec wants."""
    return tuple(sorted(_backups(observed)))


def _backups(observed: Observed) -> dict[str, Object]:
    """Give the CronJob that backs up each zone."""
    found = {}
    for job in observed.of("CronJob"):
        labels = job["metadata"].get("labels") or {}
        if labels.get(naming.COMPONENT) == naming.BACKUP and naming.ZONE in labels:
            found[labels[naming.ZONE]] = job
    return found


def behind(
    context: Context, observed: Observed, zones: Iterable[str], now: dt.datetime
) -> tuple[str, ...]:
    """Name the zones whose shipper should keep up with its collectors by now, and does not."""
    wanted = context.spec.backup
    if wanted is None or wanted.continuous is None:
        return ()
    late = []
    for zone in zones:
        there = observed.objects.get(Ref("Deployment", context.names.backup(zone)))
        available = ((there or {}).get("status") or {}).get("availableReplicas")
        if there is not None and not available and not young(there, now):
            late.append(zone)
    return tuple(late)


def taken(plan: Plan) -> list[Trouble]:
    """Name what has to get out of the way."""
    return [
        Trouble(
            "NameTaken",
            f"{one} exists but was not made by this resource: rename the resource or the zone, or "
            "remove that object",
        )
        for one in plan.taken
    ]


def confine(plan: Plan, kind: str) -> None:
    """Leave only the steps about one kind in a plan; nothing waits, nothing is removed."""
    plan.steps[:] = [step for step in plan.steps if step.ref.kind == kind]
    plan.prunes.clear()
    plan.waiting.clear()


def disturbing(steps: Iterable[Step]) -> int:
    """Count the steps on which it depends whether collectors serve, and proxies before them."""
    return sum(
        step.ref.kind in {"StatefulSet", "Service"}
        or (
            step.ref.kind == "Deployment"
            and step.document["metadata"]["labels"].get(naming.COMPONENT) == naming.PROXY
        )
        for step in steps
    )


def waiting(plan: Plan) -> tuple[str, ...]:
    """Say what was put off, and why."""
    return tuple(f"{one} {reason}" for one, reason in plan.waiting.items())


def window(spec: Spec, now: dt.datetime) -> str | None:
    """Say that a maintenance window is closed; None: there is none, or it is open."""
    wanted = spec.maintenance_window
    if wanted is None:
        return None
    found = windows.Window(frozenset(wanted.days), wanted.at, wanted.hours, wanted.time_zone)
    moment = windows.opens(found, now)
    if moment is None:
        return None
    return f"waits for the maintenance window, which opens at {moment:%Y-%m-%dT%H:%M:%SZ}"


def held_by_window(spec: Spec, plan: Plan, now: dt.datetime) -> str | None:
    """Say that a maintenance window holds something of the plan back."""
    closed = window(spec, now)
    return closed if closed in plan.waiting.values() else None


def damaged(zones: Iterable[ZoneFacts], before: Mapping[str, Any]) -> tuple[str, ...]:
    """Say where ledgers were set aside; ``before`` is the status, for zones not asked."""
    old = {one["name"]: one.get("damaged") for one in before.get("zones") or []}
    found = []
    for zone in zones:
        said = zone.said.damaged if zone.said else None
        if count := old.get(zone.name) if said is None else said:
            found.append(f"zone {zone.name}: {count} damaged ledger{'s' if count > 1 else ''}")
    return tuple(found)


def lost(
    names: naming.Names, backed: bool, zones: Iterable[ZoneFacts], before: Mapping[str, Any]
) -> tuple[str, ...]:
    """Say who lost what it held; ``before`` is the status, for zones that were not asked.

    ``backed``: whether there are backups, of which it may come back.
    """
    old = {one["name"]: one.get("lost") for one in before.get("zones") or []}
    found = []
    for zone in zones:
        said = zone.said.lost if zone.said else None
        if said is None:
            rows = old.get(zone.name) or ()
            said = tuple(Lost(row["collector"], row["heard"], row["anew"]) for row in rows)
        found += [_loss(names, backed, zone.name, one) for one in said]
    return tuple(found)


def _loss(names: naming.Names, backed: bool, zone: str, one: Lost) -> str:
    what = (
        f"{one.collector} lost what it held and began anew at {one.anew}: what was not exported by "
        f"then is gone from its volume, and of what it took after {one.heard} nobody knows; "
    )
    ends = "the next month that is exported for the first time names the gap, and ends this"
    if not backed:
        return f"{what}spec.backup is not set, so that nothing brings it back: {ends}"
    where = f"{zone}/{one.collector.rpartition('-')[2]}"
    command = f"kubectl -n {names.namespace} annotate uc {names.name} {naming.RESTORES}={where}"
    return f"{what}{command} brings back what a backup has of it; if none has, {ends}"


def export_runs(observed: Observed) -> tuple[Run, ...]:
    """Give the runs of the export."""
    return runs(observed.jobs, observed.export_pods)


def backup_runs(observed: Observed) -> tuple[Run, ...]:
    """Give the runs of the zones' backups."""
    return runs(observed.backup_jobs, observed.backup_pods)


def restore_runs(observed: Observed) -> tuple[Run, ...]:
    """Give the runs of restores."""
    return runs(observed.of("Job"), observed.restore_pods)


def near(spec: Spec, observed: Observed) -> frozenset[str]:
    """Name the zones whose backup ran, and so lies, on a node that runs their collectors.

    A volume belongs to one zone, and whoever uses it runs there; a bucket is elsewhere.
    """
    if spec.backup is None or spec.backup.destination.s3:
        return frozenset()

    def places(pods: Iterable[Object]) -> set[tuple[str, str]]:
        return {
            (pod["metadata"]["labels"].get(naming.ZONE, ""), pod["spec"]["nodeName"])
            for pod in pods
            if (pod.get("spec") or {}).get("nodeName")
        }

    both = places(observed.backup_pods) & places(observed.collectors)
    return frozenset(zone for zone, _ in both)


def last_exported(facts: Facts, before: Mapping[str, Any]) -> str | None:
    """Give the newest month that was exported without a gap; ``before`` is the status so far.

    Jobs are kept for a while only, so what the status says counts as well as what they said. A run
    that found nothing due has looked at the collectors' receipts: all before the next is done.
    """
    said = [run.summary or {} for run in facts.runs] + [before.get("lastExport") or {}]
    months = [str(one.get("period")) for one in said if one.get("result") == "exported"]
    upcoming = [
        str((one.get("next") or {}).get("period"))
        for one in said
        if one.get("result") == "nothing-due"
    ]
    months += [duedates.previous(month) for month in upcoming if _MONTH.fullmatch(month)]
    return max(filter(_MONTH.fullmatch, months), default=None)


def next_export(
    spec: Spec, facts: Facts, before: Mapping[str, Any], made: dt.datetime | None = None
) -> tuple[str, str]:
    """Give month and time of the export to come; ``before`` is the status so far.

    A resource of which nothing was exported owes the first month that fell due since it was made.
    """
    wanted = spec.export
    rule = duedates.Rule(
        day=wanted.day,
        at=wanted.at,
        zone=wanted.time_zone,
        country=wanted.holidays.country,
        dates=tuple(wanted.holidays.dates),
    )
    month, moment = duedates.following(rule, made or facts.now, last_exported(facts, before))
    return month, moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def known_export(before: Mapping[str, Any]) -> tuple[str, str] | None:
    """Give month and time of the export to come as the status has them, if the spec cannot tell."""
    known = before.get("nextExport")
    return (str(known["period"]), str(known["time"])) if known else None


def made(document: Object) -> dt.datetime | None:
    """Tell when an object was made."""
    text = document["metadata"].get("creationTimestamp")
    return dt.datetime.fromisoformat(text) if text else None


def webhooks_endpoint(context: Context) -> str | None:
    """Give the address that other vendors notify, as the cluster has it; None: they may not."""
    names, wanted = context.names, context.spec.webhooks
    return f"{names.service_host(names.webhooks)}:{wanted.port}" if wanted.assemblyai else None


def moving(zones: Iterable[ZoneFacts], observed: Observed) -> bool:
    """Tell whether collectors leave, or came back and no events are led to them yet."""
    shut = any(ingests(pod) == naming.OFF for pod in observed.collectors)
    return shut or any(zone.leaving for zone in zones)


def awaited(facts: Facts) -> bool:
    """Tell whether something is to come that no watch tells of, as Secrets that are missing."""
    runs = (*facts.runs, *facts.backups, *facts.restores)
    troubles = (*facts.export_troubles, *facts.backup_troubles, *facts.alert_troubles)
    restoring = facts.restore_waits or facts.restore_troubles
    return bool(restoring or troubles) or any(run.state == "running" for run in runs)


def endpoints(context: Context) -> tuple[str, str]:
    """Give the addresses of ingest and reporting within the cluster."""
    names, spec = context.names, context.spec
    return (
        f"{names.service_host(names.ingest)}:{spec.ingest.port}",
        f"{names.service_host(names.reporting)}:{spec.reporting.port}",
    )
