"""From facts to the status."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.operator.support import NOW, context, pod
from usage_operator import conditions
from usage_operator.conditions import Facts, Lost, Run, Said, Trouble, ZoneFacts
from usage_operator.reconcile import survey

GOOD = Facts(
    generation=3,
    now=NOW,
    zones=(ZoneFacts("eu-1a", 1, 1), ZoneFacts("eu-1b", 2, 2)),
    next_export=("2026-11", "2026-11-30T06:00:00Z"),
    endpoints=("speech.metering.svc:9090", "speech-reporting.metering.svc:8000"),
    ca_bundle="speech-ca",
)


def judged(facts: Facts, before: dict[str, Any] | None = None) -> dict[str, tuple[str, str, str]]:
    """Give status, reason and message of each condition."""
    found = conditions.judge(facts, before or {}).conditions
    return {one.type: (one.status, one.reason, one.message) for one in found}


def changed(**fields: Any) -> dict[str, tuple[str, str, str]]:
    """Judge the good facts with some of them changed."""
    return judged(replace(GOOD, **fields))


def test_all_is_well() -> None:
    """Everything rolled out, ready and reached."""
    found = judged(GOOD)
    assert found["Ready"] == ("True", "Serving", "3 collectors in 2 zones serve")
    assert found["Progressing"][:2] == ("False", "Settled")
    assert found["Degraded"][:2] == ("False", "AsExpected")
    assert found["Exported"][:2] == ("Unknown", "NotYet")
    assert "2026-11-30" in found["Exported"][2]


SHORT = (ZoneFacts("eu-1a", 1, 0, why="speech-eu-1a-0: ImagePullBackOff"), ZoneFacts("b", 1, 1))


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"blocked": Trouble("SecretMissing", "make it")}, "SecretMissing", "make it"),
        ({"troubles": (Trouble("NameTaken", "x"), Trouble("A", "y"))}, "NameTaken", "x; y"),
        ({"written": 2}, "Applying", "2 objects"),
        ({"zones": (ZoneFacts("eu-1a", 1, 0, rolling=True),)}, "RollingOut", "eu-1a"),
        ({"waiting": ("StatefulSet x waits",)}, "RollingOut", "StatefulSet x waits"),
        ({"zones": SHORT}, "PodsNotReady", "ImagePullBackOff"),
        ({"zones": ()}, "Applying", "no collector"),
        ({"unreachable": "connection refused"}, "Unreachable", "connection refused"),
    ],
)
def test_not_ready(fields: dict[str, Any], reason: str, words: str) -> None:
    """What is in the way is the reason, and the message says it."""
    status, said, message = changed(**fields)["Ready"]
    assert (status, said) == ("False", reason)
    assert words in message


def test_what_exports_need_holds_up_exports_only() -> None:
    """Collectors serve without the password of a mailbox, and a person is told all the same."""
    found = changed(export_troubles=(Trouble("SecretMissing", "make it"),))
    assert found["Ready"][:2] == ("True", "Serving")
    assert found["Degraded"][:2] == ("True", "SecretMissing")
    assert found["Exported"][:2] == ("False", "SecretMissing")
    assert "make it" in found["Exported"][2]
    trouble = (Trouble("SecretInvalid", "add a key"),)
    found = changed(backup_troubles=trouble, backed_zones=("eu-1a",))
    assert found["Degraded"][:2] == ("True", "SecretInvalid")
    assert found["BackedUp"][:2] == ("False", "SecretInvalid")
    assert found["Exported"][:2] == ("Unknown", "NotYet")
    found = changed(alert_troubles=trouble)
    assert found["Ready"][:2] == ("True", "Serving")
    assert found["Degraded"][:2] == ("True", "SecretInvalid")


def test_a_zone_that_is_down_degrades_but_a_rollout_does_not() -> None:
    """Degraded tells a person to look; a rollout ends by itself, or is stuck."""
    assert changed(zones=SHORT)["Degraded"][:2] == ("True", "ZonesNotReady")
    rolling = ZoneFacts("eu-1a", 1, 0, rolling=True, settling=True)
    assert changed(zones=(rolling,))["Degraded"][0] == "False"
    stuck = changed(zones=(replace(rolling, settling=False, why="it crashes"),))["Degraded"]
    assert stuck[:2] == ("True", "RolloutStuck")
    assert "it crashes" in stuck[2]


def test_a_change_waits_for_its_window() -> None:
    """Not everything is rolled out, nothing is wrong, and the message says until when."""
    found = changed(waiting=("StatefulSet a opens at 22:00",), window="opens at 22:00")
    for condition, status in (("Ready", "False"), ("Progressing", "True")):
        assert found[condition] == (status, "WaitingForWindow", "StatefulSet a opens at 22:00")
    assert found["Degraded"][0] == "False"


def test_leaving_collectors_are_shown_with_the_way_out() -> None:
    """The message gives the annotation that would discard exactly those that left."""
    zones = (ZoneFacts("eu-1a", 3, 3, leaving=2), ZoneFacts("old", 1, 1, leaving=1))
    status, reason, message = changed(zones=zones)["Progressing"]
    assert (status, reason) == ("True", "Leaving")
    assert "usage-operator.io/discard=eu-1a/1,eu-1a/2,old" in message
    rows = conditions.judge(replace(GOOD, zones=zones), {}).document()["zones"]
    assert all(row["leaving"] for row in rows)  # type: ignore[attr-defined]


def test_a_discard_that_lies_in_wait_is_told() -> None:
    """An annotation that names what is wanted would discard it later without asking."""
    assert changed(idle_discards=("eu-1a",))["Degraded"][:2] == ("True", "DiscardInUse")
    told = changed(differing=("x is of y",))
    assert told["Degraded"] == ("True", "StorageClassDiffers", "x is of y")
    assert told["Ready"][0] == "True"


def test_paused() -> None:
    """A paused resource that serves is Ready, and says that it is paused."""
    assert changed(paused=True)["Ready"][:2] == ("True", "Paused")
    assert changed(paused=True)["Progressing"][:2] == ("False", "Paused")


def run(result: str | None, state: str = "complete", **said: Any) -> Run:
    """Give a run of the export."""
    summary = {"result": result, "period": "2026-10", "time": "2026-10-30T06:01:00Z"} | said
    return Run("speech-export-1", "2026-10-30T06:00:00Z", state, summary if result else None)


def test_a_month_that_is_owed_for_a_day_is_overdue() -> None:
    """The deadline is told above all else, with what the newest run said; a day less is not."""
    since = ("2026-10", "2026-11-04T12:00:00Z")
    good = judged(replace(GOOD, next_export=since, now=NOW - dt.timedelta(seconds=1)))
    assert good["Exported"][1] == "NotYet"
    failed = replace(GOOD, next_export=since, runs=(run("failed", "failed", error="disk full"),))
    status, reason, message = judged(failed)["Exported"]
    assert (status, reason) == ("False", "ExportOverdue")
    assert "2026-10 has been due since 2026-11-04T12:00:00Z" in message
    assert "disk full" in message
    found = conditions.judge(failed, {}).document()["nextExport"]
    assert found == {"period": "2026-10", "time": since[1], "overdue": True}
    assert "overdue" not in str(conditions.judge(GOOD, {}).document()["nextExport"])


def test_each_destination_s_words_stand_in_the_status() -> None:
    """Who has the month, and who has not and why."""
    said = run("incomplete", "failed", delivered=["/exports/2026-10"], failed=["s3://u: full"])
    found = conditions.judge(replace(GOOD, runs=(said,)), {}).last_export
    assert found is not None
    assert (found.delivered, found.failed) == (["/exports/2026-10"], ["s3://u: full"])


@pytest.mark.parametrize(
    ("runs", "status", "reason", "words"),
    [
        ((run("exported"),), "True", "Exported", "2026-10"),
        ((run("nothing-due", period=None),), "True", "NothingDue", "2026-11-30"),
        (
            (run("incomplete", "failed", gaps=["b-0: no answer"]),),
            "False",
            "ExportIncomplete",
            "b-0",
        ),
        (
            (run("incomplete", "failed", failed=["mailto:a@b: 550 no such user"]),),
            "False",
            "DeliveryFailed",
            "550 no such user",
        ),
        (
            (run("incomplete", "failed", gaps=["b-0: gone"], failed=["s3://u: full"]),),
            "False",
            "ExportIncomplete",
            "b-0: gone; s3://u: full",
        ),
        ((run("failed", "failed", error="disk full"),), "False", "ExportFailed", "disk full"),
        ((run(None, "failed"),), "False", "ExportFailed", "kubectl logs job/speech-export-1"),
        ((run(None, "running"),), "Unknown", "Running", "speech-export-1"),
        ((run(None, "running"), run("exported")), "True", "Exported", "2026-10"),
    ],
)
def test_exported(runs: tuple[Run, ...], status: str, reason: str, words: str) -> None:
    """The newest finished run decides."""
    found = changed(runs=runs)["Exported"]
    assert found[:2] == (status, reason)
    assert words in found[2]


def test_the_last_export_outlives_its_job() -> None:
    """A run with nothing due does not hide what was exported before, nor does a lost job."""
    done = run("exported", files=3, hours=1.5)
    first = conditions.judge(replace(GOOD, runs=(done,)), {}).document()
    told: Any = first["lastExport"]
    assert (told["files"], told["hours"]) == (3, 1.5)
    later = replace(GOOD, runs=(run("nothing-due", period=None),))
    assert conditions.judge(later, first).document()["lastExport"] == first["lastExport"]
    assert conditions.judge(GOOD, first).document()["lastExport"] == first["lastExport"]


@pytest.mark.parametrize(
    ("said", "state", "reason", "words"),
    [
        (run("exported"), "complete", "Exported", "2026-10 was exported"),
        (run("incomplete", gaps=["b-0: gone"]), "failed", "ExportIncomplete", "b-0: gone"),
        (run("exported", time="2026-10-29T06:01:00Z"), "complete", "NothingDue", "2026-11-30"),
        (run("incomplete", time="2026-10-29T06:01:00Z"), "failed", "ExportFailed", "without"),
        (run("exported"), "failed", "ExportFailed", "without"),
    ],
)
def test_what_an_export_said_outlives_its_pod(
    said: Run, state: str, reason: str, words: str
) -> None:
    """Its node may be drained: the run neither failed by that, nor is it what it was not."""
    before = conditions.judge(replace(GOOD, runs=(said,)), {}).document()
    found = judged(replace(GOOD, runs=(run(None, state),)), before)["Exported"]
    assert found[1] == reason
    assert words in found[2]


def test_what_was_exported_outlives_all_jobs() -> None:
    """They go with their CronJob, which is made anew; what was delivered is not forgotten."""
    for said, reason, words in (
        (run("exported"), "Exported", "2026-10 was exported; the next"),
        (run("incomplete", gaps=["b-0: gone"]), "ExportIncomplete", "(b-0: gone): its job is gone"),
        (run("failed", error="disk full"), "ExportFailed", "the newest job failed"),
    ):
        before = conditions.judge(replace(GOOD, runs=(said,)), {}).document()
        found = judged(GOOD, before)["Exported"]
        assert found[1] == reason
        assert words in found[2]


def test_times_are_those_of_the_last_change() -> None:
    """The same status keeps its time, another one gets the present."""
    first = conditions.judge(GOOD, {}).document()
    later = replace(GOOD, now=NOW + dt.timedelta(hours=1))
    assert conditions.judge(later, first).document() == first
    broken = conditions.judge(replace(later, zones=SHORT), first)
    times = {one.type: one.last_transition_time for one in broken.conditions}
    assert times["Ready"] == "2026-11-05T13:00:00Z"
    assert times["Progressing"] == "2026-11-05T12:00:00Z"


def test_what_collectors_said_stands_until_they_are_asked_again() -> None:
    """Version and storage come from the last answer."""
    said = replace(GOOD.zones[0], said=Said("1.0", "12%", "1Gi"))
    first = conditions.judge(replace(GOOD, zones=(said,)), {}).document()
    row = {"name": "eu-1a", "replicas": 1, "ready": 1, "version": "1.0"}
    assert first["zones"] == [row | {"storage": {"used": "12%", "capacity": "1Gi"}}]
    again = conditions.judge(replace(GOOD, zones=(GOOD.zones[0],)), first).document()
    assert again["zones"] == first["zones"]


def test_damage_stands_until_collectors_say_that_it_is_mended() -> None:
    """A zone's damaged ledgers stay in its row while nobody answers, and go with a count of 0."""

    def row(said: Said | None, before: dict[str, Any]) -> dict[str, Any]:
        facts = replace(GOOD, zones=(replace(GOOD.zones[0], said=said),))
        return dict(conditions.judge(facts, before).document())

    broken = row(Said("1.0", damaged=2), {})
    assert broken["zones"][0]["damaged"] == 2
    silent = row(Said(), row(None, broken))
    assert silent["zones"] == broken["zones"]
    assert survey.damaged((replace(GOOD.zones[0], said=Said()),), silent) == (
        "zone eu-1a: 2 damaged ledgers",
    )
    assert "damaged" not in row(Said("1.0", damaged=0), silent)["zones"][0]
    assert survey.damaged((replace(GOOD.zones[0], said=Said(damaged=0)),), silent) == ()
    found = changed(damaged=("zone eu-1a: 2 damaged ledgers",))
    assert found["Degraded"][:2] == ("True", "LedgerDamaged")
    assert "eu-1a" in found["Degraded"][2]
    assert found["Ready"][0] == "True"
    both = changed(damaged=("zone eu-1a: 1 damaged ledger",), filling=("zone b: is 91% full",))
    assert both["Degraded"][1] == "VolumeFilling"
    assert "91% full" in both["Degraded"][2]
    assert "1 damaged ledger" in both["Degraded"][2]


def test_a_lost_volume_stands_until_its_collector_says_that_it_is_mended() -> None:
    """Who, since when and what to do, also while nobody answers, or old collectors do."""
    loss = Lost("speech-eu-1a-0", "2026-11-18T11:06:40Z", "2026-11-18T11:08:20Z")

    def row(said: Said | None, before: dict[str, Any]) -> dict[str, Any]:
        facts = replace(GOOD, zones=(replace(GOOD.zones[0], said=said),))
        return dict(conditions.judge(facts, before).document())

    def told(said: Said | None, before: dict[str, Any], backed: bool = False) -> tuple[str, ...]:
        zones = (replace(GOOD.zones[0], said=said),)
        return survey.lost(context().names, backed, zones, before)

    lost = row(Said("1.0", lost=(loss,)), {})
    assert lost["zones"][0]["lost"] == [loss._asdict()]
    assert row(Said("1.0"), row(None, lost))["zones"] == lost["zones"]
    assert "lost" not in row(Said("1.0", lost=()), lost)["zones"][0]
    assert told(Said(lost=()), lost) == told(Said(), {}) == ()
    (text,) = told(None, lost)
    assert all(word in text for word in (*loss, "spec.backup is not set", "the next month"))
    (text,) = told(Said(lost=(loss,)), {}, backed=True)
    assert "annotate uc speech usage-operator.io/restore=eu-1a/0 " in text
    found = changed(lost=(text,))
    assert found["Degraded"] == ("True", "VolumeLost", text)
    assert found["Ready"][0] == "True"


@given(
    written=st.integers(0, 2),
    ready=st.integers(0, 2),
    rolling=st.booleans(),
    blocked=st.none() | st.just(Trouble("InvalidSpec", "x")),
    unreachable=st.none() | st.just("x"),
    paused=st.booleans(),
)
def test_ready_is_never_said_too_early(**fields: Any) -> None:
    """Ready means that nothing was written, rolls, is blocked, short or out of reach."""
    zone = ZoneFacts("a", 2, fields.pop("ready"), rolling=fields.pop("rolling"))
    facts = replace(GOOD, zones=(zone,), **fields)
    status, reason, _ = judged(facts)["Ready"]
    assert reason in conditions.REASONS["Ready"]
    if status == "True":
        assert zone.ready == 2
        assert [zone.rolling, facts.blocked, facts.unreachable] == [False, None, None]
        assert facts.paused or not facts.written


def job(name: str, created: str, **status: Any) -> dict[str, Any]:
    """Give a job."""
    return {"metadata": {"name": name, "creationTimestamp": created}, "status": status}


def test_runs_come_from_jobs_and_the_messages_of_their_pods() -> None:
    """The newest pod of a job tells, not one that failed before; what is no summary is none."""
    done = {"conditions": [{"type": "Complete", "status": "True"}]}
    failed = {"conditions": [{"type": "Failed", "status": "True", "message": "too often"}]}
    jobs = [job("old", "2026-10-01", **done), job("new", "2026-11-01", **failed)]
    jobs.append(job("drained", "2026-09-01", **done))
    pods = []
    for name, created, phase, text in (
        ("drained", "2026-09-01", "Failed", '{"result":"incomplete"}'),
        ("old", "2026-10-01", "Succeeded", '{"result":"exported"}'),
        ("new", "2026-11-01T1", "Failed", '{"result":"incomplete"}'),
        ("new", "2026-11-01T2", "Failed", "Traceback"),
    ):
        state = {"state": {"terminated": {"message": text}}}
        one = pod(f"{name}-{created}", "", phase=phase, containerStatuses=[state])
        one["metadata"] |= {"creationTimestamp": created}
        one["metadata"]["labels"]["batch.kubernetes.io/job-name"] = name
        pods.append(one)
    newest, oldest, drained = conditions.runs(jobs, pods)
    assert (newest.job, newest.state, newest.summary, newest.why) == (
        "new",
        "failed",
        None,
        "too often",
    )
    assert (oldest.job, oldest.state, oldest.summary) == ("old", "complete", {"result": "exported"})
    assert (drained.state, drained.summary) == ("complete", None)


def test_pods_that_are_starting_are_progress() -> None:
    """What has only just been made is under way; what takes too long is not."""
    starting = replace(SHORT[0], settling=True)
    assert changed(zones=(starting,))["Progressing"][:2] == ("True", "RollingOut")
    assert changed(zones=SHORT)["Progressing"][:2] == ("False", "Settled")
