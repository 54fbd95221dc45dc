"""What restores said of themselves, and what the condition makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from usage_operator.conditions.checks import Verdict
from usage_operator.spec.status import Restoration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from usage_operator.conditions.facts import Facts, Run

_LONGEST = 300
_STATES = {"restored": "Restored", "nothing": "NothingToRestore", "planned": "Planned"}


def rows(facts: Facts, before: Mapping[str, Any]) -> list[Restoration]:
    """Give a row for each restore that is asked for, the newest first.

    Pods are removed sooner than jobs, so what stood there before stays when nothing is said any
    more.
    """
    old = {one.get("job"): one for one in before.get("restores") or []}
    return [_row(run, old.get(run.job)) for run in facts.restores]


def _row(run: Run, known: Mapping[str, Any] | None) -> Restoration:
    said = run.summary or {}
    if run.state == "complete" and not said and known and known.get("state") != "Running":
        return Restoration.model_validate(known)
    error = said.get("error") or run.why
    if run.state == "complete":
        state = _STATES.get(str(said.get("result")), "Restored")
        error = None
    else:
        state = "Running" if run.state == "running" else "Failed"
        error = error or (f"see job {run.job}" if state == "Failed" else None)
    return Restoration.model_validate(
        {
            "job": run.job,
            "request": run.request or "",
            "state": state,
            "started": run.started or None,
            "taken": said.get("taken"),
            "events": said.get("events"),
            "cameBack": _texts(said.get("came_back")),
            "lost": _texts(said.get("lost")),
            "message": str(error)[: 2 * _LONGEST] if error else None,
        }
    )


def _texts(found: object) -> list[str]:
    return [str(one)[:_LONGEST] for one in found] if isinstance(found, list) else []


def restored(facts: Facts, found: Sequence[Restoration]) -> Verdict | None:
    """Judge whether everything that was asked for came back; None where nothing is asked for."""
    if facts.restore_troubles:
        return Verdict("False", "RestoreRefused", "; ".join(facts.restore_troubles))
    if failed := [one for one in found if one.state == "Failed"]:
        text = "; ".join(f"{one.request}: {one.message}" for one in failed)
        return Verdict("False", "RestoreFailed", f"{text}; it is tried again in half an hour")
    running = [f"{one.request}: {one.message or 'under way'}" for one in found
               if one.state == "Running"]  # fmt: skip
    if waiting := [*facts.restore_waits, *running]:
        return Verdict("Unknown", "Restoring", "; ".join(waiting))
    if not found:
        return None
    text = "; ".join(map(_told, found))
    if all(one.state == "Planned" for one in found):
        return Verdict("Unknown", "RestorePlanned", text)
    if any(one.lost for one in found if one.state == "Restored"):
        return Verdict("True", "RestoredWithLoss", text)
    return Verdict("True", "Restored", text)


def _told(one: Restoration) -> str:
    """Say what came back, and what is gone for good."""
    back = ", ".join(one.came_back) or "nothing to bring back"
    gone = f"; lost: {', '.join(one.lost)}" if one.lost else ""
    return f"{one.request}: {back}{gone}"
