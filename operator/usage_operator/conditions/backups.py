"""What backups said of themselves, zone by zone, and what the conditions make of it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from usage_operator import schedules
from usage_operator.conditions.checks import Verdict
from usage_operator.spec.status import LastBackup, ZoneBackup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from usage_operator.conditions.facts import Facts, Run

_LONGEST = 500
_TAKEN = ("time", "events", "bytes", "location")


def rows(facts: Facts, before: Mapping[str, Any]) -> list[ZoneBackup]:
    """Give a row for each zone that is to be backed up and was.

    Jobs are kept for a while only, so what stood there before stays until there is news.
    """
    old = {one.get("zone"): one for one in before.get("backups") or []}
    finished = [run for run in facts.backups if run.state != "running"]
    news = {run.zone: run for run in reversed(finished)}
    found = []
    for zone in facts.backed_zones:
        known = ZoneBackup.model_validate(old[zone]) if zone in old else None
        run = news.get(zone)
        row = _row(zone, run, known) if run else known
        found += [row] if row else []
    return found


def _row(zone: str, run: Run, known: ZoneBackup | None) -> ZoneBackup | None:
    """Put what a run said over what was known; one that failed leaves the good one before.

    What it said goes with its pod, as when a node is drained, and is known from before then.
    """
    if run.summary is None and (run.state == "complete" or (known and known.job == run.job)):
        return known
    said = run.summary or {}
    good = said.get("result") == "backed-up"
    # A good backup may have an error too: what its proof found.
    error = said.get("error") or (None if good else run.why or "it ended without a summary")
    values: dict[str, Any] = known.model_dump() if known else {}
    values |= {name: said[name] for name in _TAKEN if good and said.get(name) is not None}
    if said.get("verified"):
        values |= {"verified": said["verified"], "verified_ok": bool(said.get("verified_ok"))}
    values |= {
        "zone": zone,
        "job": run.job,
        "result": said.get("result") or "failed",
        "error": str(error)[:_LONGEST] if error else None,
        "restored": [str(text)[:_LONGEST] for text in said.get("restored") or []],
    }
    return ZoneBackup.model_validate(values)


def last(found: Sequence[ZoneBackup]) -> LastBackup | None:
    """Sum up all zones: as old as the oldest of them."""
    good = [one for one in found if one.time]
    if not good:
        return None
    proofs = [one.verified for one in good if one.verified]
    return LastBackup(
        time=min(one.time or "" for one in good),
        events=sum(one.events or 0 for one in good),
        bytes=sum(one.bytes or 0 for one in good),
        location=good[0].location,
        verified=min(proofs) if len(proofs) == len(good) else None,
    )


def backed_up(facts: Facts, found: Sequence[ZoneBackup]) -> Verdict:
    """Judge whether every zone has a backup in time, and then how the runs ended."""
    verdict = _backed_up(facts, found)
    taken = {one.zone: one.time for one in found}
    late = _late(facts, taken, 0)
    if not late:
        return verdict
    said = ", ".join(f"{zone} ({taken.get(zone) or 'none so far'})" for zone in late)
    why = f"; {verdict.message}" if verdict.status == "False" else ""
    text = f"the schedule asked for newer backups long ago than those of {said}{why}"
    return Verdict("False", "BackupOverdue", text)


def _late(facts: Facts, last: Mapping[str, str | None], days: int) -> list[str]:
    """Name the zones where the run that is due ``days`` after the last good one has not come."""
    rule = facts.backup_rule
    found = []
    for zone in facts.backed_zones if rule else ():
        assert rule  # noqa: S101 - else there is nothing to go through
        text = last.get(zone)
        if text:
            begin = dt.datetime.fromisoformat(text) + dt.timedelta(days=days)
        elif zone in rule.since:
            begin = rule.since[zone]
        else:
            continue
        if schedules.overdue(rule.schedule, rule.time_zone, begin, facts.now):
            found.append(zone)
    return found


def _backed_up(facts: Facts, found: Sequence[ZoneBackup]) -> Verdict:
    """Judge whether the newest backup of every zone is whole."""
    if not facts.backed_zones:
        text = "spec.backup is not set: a lost volume costs all that was not exported"
        return Verdict("Unknown", "NoBackup", text)
    if facts.backup_troubles:
        words = "; ".join(one.message for one in facts.backup_troubles)
        return Verdict("False", facts.backup_troubles[0].reason, f"backups cannot run: {words}")
    if bad := [one for one in found if one.result != "backed-up"]:
        text = "; ".join(f"zone {one.zone}: {one.error}: see job {one.job}" for one in bad)
        return Verdict("False", "BackupFailed", text)
    if facts.behind:
        text = (
            f"the shipper of {', '.join(facts.behind)} does not run or does not keep up: a volume "
            "that is lost now would cost more than seconds; see kubectl describe and logs of its "
            "Deployment"
        )
        return Verdict("False", "ShipperBehind", text)
    missing = [zone for zone in facts.backed_zones if zone not in {one.zone for one in found}]
    if missing:
        return Verdict("Unknown", "BackupPending", f"no backup yet of {', '.join(missing)}")
    oldest = min(one.time or "" for one in found)
    if back := [text for one in found for text in one.restored]:
        return Verdict("True", "Restored", "; ".join(back))
    if facts.near:
        where = ", ".join(sorted(facts.near))
        text = (
            f"backups of {where} lie in the same zone as what they are of, and would be lost with "
            "it: let the cluster place their volumes elsewhere"
        )
        return Verdict("True", "SameZone", text)
    return Verdict("True", "BackedUp", f"the oldest of all zones is of {oldest}")


def verified(facts: Facts, found: Sequence[ZoneBackup]) -> Verdict:
    """Judge whether every zone's backup was restored and compared, with success."""
    if not facts.backed_zones:
        return Verdict("Unknown", "NoBackup", "spec.backup is not set")
    if bad := [one for one in found if one.verified_ok is False]:
        text = "; ".join(f"zone {one.zone}: {one.error or 'see its job'}" for one in bad)
        said = (
            f"a restored backup is not what it should be: {text}; the next run fetches again what "
            "the collector still has, and proves all of it"
        )
        return Verdict("False", "VerifyFailed", said)
    proven = {one.zone: one.verified for one in found if one.verified}
    rule = facts.backup_rule
    if rule and rule.verify_days and (late := _late(facts, proven, rule.verify_days)):
        said = ", ".join(f"{zone} ({proven.get(zone) or 'never'})" for zone in late)
        text = f"these should have been restored and compared again long ago: {said}"
        return Verdict("False", "VerifyOverdue", text)
    missing = [zone for zone in facts.backed_zones if zone not in proven]
    if missing and rule and not rule.verify_days:
        text = "spec.backup.verify.everyDays is 0: backups are restored and compared by nobody"
        return Verdict("Unknown", "VerifyOff", text)
    if missing:
        return Verdict("Unknown", "VerifyPending", f"not restored yet: {', '.join(missing)}")
    oldest = min(proven[zone] or "" for zone in facts.backed_zones)
    good = [one for one in found if one.result == "backed-up"]
    notes = "".join(f"; zone {one.zone}: {one.error}" for one in good if one.error)
    return Verdict("True", "Verified", f"restored and compared, the oldest at {oldest}{notes}")
