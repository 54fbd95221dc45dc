"""What exports said of themselves, and whether a month is overdue."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from usage_operator import duedates
from usage_operator.conditions.checks import Verdict
from usage_operator.spec.status import LastExport, NextExport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from usage_operator.conditions.facts import Facts, Run


def last(facts: Facts, before: Mapping[str, Any]) -> LastExport | None:
    """Take the newest run that was about a month; runs with nothing due change nothing.

    Jobs are kept for a while only, so what stood there before stays until there is news.
    """
    for run in facts.runs:
        said = run.summary
        if said and said.get("period"):
            return LastExport(
                period=said["period"],
                time=said.get("time"),
                result=said.get("result"),
                files=said.get("files"),
                events=said.get("events"),
                hours=said.get("hours"),
                gaps=[str(gap) for gap in said.get("gaps") or []],
                delivered=[str(place) for place in said.get("delivered") or []],
                failed=[str(words) for words in said.get("failed") or []],
            )
    old = before.get("lastExport")
    return LastExport.model_validate(old) if old else None


def following(facts: Facts) -> NextExport | None:
    """Say which export comes next, and whether it should have come long ago."""
    if facts.next_export is None:
        return None
    period, time = facts.next_export
    return NextExport(period=period, time=time, overdue=True if _overdue(facts) else None)


def _overdue(facts: Facts) -> bool:
    if facts.next_export is None:
        return False
    return duedates.overdue(dt.datetime.fromisoformat(facts.next_export[1]), facts.now)


def exported(facts: Facts, before: Mapping[str, Any]) -> Verdict:
    """Judge whether everything that is due was exported: the deadline first, then the runs.

    ``before`` is the status so far: what a run said goes with its pod, as when a node is drained.
    """
    verdict = _run(facts, before.get("lastExport") or {})
    if facts.next_export is None or not _overdue(facts):
        return verdict
    period, time = facts.next_export
    why = f": {verdict.message}" if verdict.status != "True" else ""
    return Verdict("False", "ExportOverdue", f"{period} has been due since {time}{why}")


def _run(facts: Facts, old: Mapping[str, Any]) -> Verdict:
    """Judge by what is missing for the next run, or else by what the newest one said.

    ``old`` is the newest month's export as the status has it.
    """
    if facts.export_troubles:
        words = "; ".join(one.message for one in facts.export_troubles)
        return Verdict("False", facts.export_troubles[0].reason, f"exports cannot run: {words}")
    after = f"; the next is due at {facts.next_export[1]}" if facts.next_export else ""
    after = "" if _overdue(facts) else after
    finished = [run for run in facts.runs if run.state != "running"]
    if not finished:
        if facts.runs:
            why = f" ({facts.runs[0].why})" if facts.runs[0].why else ""
            return Verdict("Unknown", "Running", f"job {facts.runs[0].job} is running{why}")
        if old:
            return _said(old, None, "it does not say why", after)
        return Verdict("Unknown", "NotYet", f"no export has run yet{after}")
    run = finished[0]
    summary = run.summary or (old if _its(run, old) else {})
    if run.state == "complete" and not summary:
        # Whatever is owed would have ended it otherwise.
        summary = {"result": "nothing-due"}
    return _said(summary, run.job, run.why or "it ended without a summary", after)


def _its(run: Run, old: Mapping[str, Any]) -> bool:
    """Tell whether what the status has of the newest export can be what a run said."""
    ended_well = old.get("result") == "exported"
    return str(old.get("time") or "") >= run.started and ended_well == (run.state == "complete")


def _said(summary: Mapping[str, Any], job: str | None, why: str, after: str) -> Verdict:
    """Judge by what a run said of itself; ``why`` it failed, where it does not say.

    ``job`` is None where it is gone, as with a CronJob that was deleted and made anew.
    """
    period, result = summary.get("period"), summary.get("result")
    if result == "exported":
        return Verdict("True", "Exported", f"{period} was exported{after}")
    if result == "nothing-due":
        return Verdict("True", "NothingDue", f"everything that was due is exported{after}")
    logs = f"see kubectl logs job/{job}" if job else "its job is gone"
    if result == "incomplete":
        gaps = [str(gap) for gap in summary.get("gaps") or []]
        failed = [str(words) for words in summary.get("failed") or []]
        words = "; ".join([*gaps, *failed])
        if failed and not gaps:
            text = f"{period} did not reach every destination ({words}): {logs}"
            return Verdict("False", "DeliveryFailed", text)
        words = words or str(summary.get("error") or "it does not say why")
        return Verdict("False", "ExportIncomplete", f"{period} is incomplete ({words}): {logs}")
    which, what = f"job {job}" if job else "the newest job", summary.get("error") or why
    return Verdict("False", "ExportFailed", f"{which} failed ({what}): {logs}")
