"""From what was observed to the facts: the export to come, what is under way."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.operator.support import NOW, context, pod
from usage_operator import naming, plan, spec
from usage_operator.conditions import Facts, Run, ZoneFacts
from usage_operator.manifests import proxy, shipper
from usage_operator.reconcile import survey
from usage_operator.reconcile.observe import Observed

SPEC = spec.Spec.model_validate({"zones": [{"name": "eu-1a"}]})


def run(result: str, period: str | None) -> Run:
    """A run that said this at its end."""
    return Run("job", "", "complete", {"result": result, "period": period})


def following(*runs: Run, before: dict[str, Any] | None = None) -> str:
    """The month of the export to come."""
    facts = Facts(generation=1, now=NOW, runs=runs)
    return survey.next_export(SPEC, facts, {"lastExport": before} if before else {})[0]


def test_an_early_export_is_not_due_again() -> None:
    """What was exported before its time is done: the month behind it is next."""
    unknown = following()
    assert following(run("exported", unknown)) > unknown


@pytest.mark.parametrize("result", ["incomplete", "failed", "nothing-due"])
def test_only_what_was_exported_counts(result: str) -> None:
    """A month with a gap, or one that failed, is still to be exported."""
    assert following(run(result, following())) == following()


def test_the_status_remembers_when_the_job_is_gone() -> None:
    """Its lastExport counts without the job, and an overdue month stays the next one."""
    assert following(before={"period": "2020-12", "result": "exported"}) == "2021-01"
    assert following(before={"period": "2020-12", "result": "incomplete"}) == following()


def test_an_old_month_run_again_changes_nothing() -> None:
    """The newest month that was exported decides, not the newest run."""
    before = {"period": "2026-03", "result": "exported"}
    assert following(run("exported", "2025-11"), before=before) == "2026-04"


def test_a_run_that_found_nothing_due_knows_what_is_done() -> None:
    """It looked at the receipts: all before the month that it calls the next is exported."""
    summary = {"result": "nothing-due", "next": {"period": "2026-03"}}
    assert following(Run("job", "", "complete", summary)) == "2026-03"


def test_what_was_never_exported_is_owed_since_the_resource_was_made() -> None:
    """The first month that fell due since then stays the next one, not the one behind today."""
    made = survey.made({"metadata": {"creationTimestamp": "2026-08-03T00:00:00Z"}})
    found = survey.next_export(SPEC, Facts(generation=1, now=NOW), {}, made)
    assert found == ("2026-08", "2026-08-31T06:00:00Z")


def test_a_deadline_stands_while_the_spec_cannot_be_read() -> None:
    """What the status says of the export to come is kept; there may be nothing yet."""
    before = {"nextExport": {"period": "2026-09", "time": "2026-09-30T06:00:00Z", "overdue": True}}
    assert survey.known_export(before) == ("2026-09", "2026-09-30T06:00:00Z")
    assert survey.known_export({}) is None


def test_a_window_is_named_only_while_it_holds_something_back() -> None:
    """With nothing to do nobody needs to know that it is closed."""
    wanted = {"days": ["Sunday"], "at": "22:00", "hours": 2}
    spec_ = SPEC.model_validate({"zones": [{"name": "a"}], "maintenanceWindow": wanted})
    closed = survey.window(spec_, NOW)
    assert closed is not None
    assert "2026-11-08T22:00:00Z" in closed
    assert survey.window(SPEC, NOW) is None
    found = plan.Plan()
    assert survey.held_by_window(spec_, found, NOW) is None
    found.waiting[plan.Ref("StatefulSet", "speech-a")] = closed
    assert survey.held_by_window(spec_, found, NOW) == closed


@pytest.mark.parametrize("period", ["", "2026-13", "soon", None])
def test_a_summary_that_is_no_summary_does_no_harm(period: str | None) -> None:
    """A job's message is read by whoever wrote it, so nonsense in it is passed over."""
    assert following(run("exported", period)) == following()


@pytest.mark.parametrize(
    ("leaving", "label", "expected"),
    [(0, naming.ON, False), (0, None, False), (1, naming.ON, True), (0, naming.OFF, True)],
)
def test_who_came_back_is_looked_after_until_events_are_led_to_it(
    leaving: int, label: str | None, expected: bool
) -> None:
    """It may not have answered when it was told to take events; all else of it looks settled."""
    one = pod("speech-a-0", "a")
    one["metadata"]["labels"] |= {naming.INGEST: label} if label else {}
    zones = (ZoneFacts("a", 1, 1, leaving=leaving),)
    assert survey.moving(zones, Observed(collectors=[one])) == expected


def test_changed_proxies_are_not_ready_at_once() -> None:
    """They stand before the collectors; what they were says nothing of what they become."""
    where = context(ingest={"proxy": {}}, backup={"continuous": {}})
    made = [*proxy.build(where), *shipper.build(where, {"eu-1a": 1})]
    steps = [plan.Step(plan.Verb.APPLY, one, "x") for one in made if one["kind"] == "Deployment"]
    assert len(steps) == 2
    assert survey.disturbing(steps) == 1


@pytest.mark.parametrize(
    ("ends", "containers", "expected"),
    [(25, "False", True), (-100, "False", True), (-121, "False", False), (25, "True", False)],
)
def test_a_pod_that_stops_is_given_its_time(ends: int, containers: str, expected: bool) -> None:
    """As one that starts is: each rollout would be told as stuck. One on a lost node is not."""
    inside = {"type": "ContainersReady", "status": containers}
    one = pod("speech-a-0", "a", conditions=[inside, {"type": "Ready", "status": "False"}])
    one["metadata"]["creationTimestamp"] = (NOW - dt.timedelta(days=1)).isoformat()
    seen, fleet = Observed(collectors=[one]), plan.muster({"a": 1}, {"a": 1}, {})
    names = context().names
    assert not survey.zones(seen, fleet, names, NOW)[0].settling
    one["metadata"]["deletionTimestamp"] = (NOW + dt.timedelta(seconds=ends)).isoformat()
    assert survey.zones(seen, fleet, names, NOW)[0].settling is expected
