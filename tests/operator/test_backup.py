"""Backups: what is made for them, and what is said of them."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest

from tests.operator.support import NOW, context, golden
from usage_operator import errors, naming
from usage_operator.conditions import BackupRule, Facts, Run, judge
from usage_operator.manifests import backup, monitoring, network, restore, shipper
from usage_operator.plan import Ref
from usage_operator.reconcile import survey
from usage_operator.reconcile.observe import Observed

FULL: dict[str, Any] = {
    "schedule": "@hourly",
    "timeZone": "Europe/Berlin",
    "destination": {"volume": {"size": "9Gi", "storageClassName": "far"}},
    "verify": {"everyDays": 0},
    "encryption": {"secretName": "backup-key"},
    "keepDays": 30,
    "autoRestore": True,
}
GOOD = {
    "result": "backed-up",
    "time": "2026-11-05T02:17:00Z",
    "events": 7,
    "bytes": 70,
    "location": "/backups",
    "verified": "2026-11-04T02:17:00Z",
    "verified_ok": True,
}


def facts(*runs: Run, **more: Any) -> Facts:
    """What was found of a resource with two zones that are backed up."""
    return Facts(generation=1, now=NOW, backups=runs, backed_zones=("a", "b"), **more)


def run(zone: str, job: str = "job-1", **said: Any) -> Run:
    """A run that ended."""
    return Run(job, "2026-11-05T02:17:00Z", "complete", GOOD | said, None, zone)


def says(found: Facts, kind: str, before: dict[str, Any] | None = None) -> tuple[str, str, str]:
    """One condition."""
    status = judge(found, before or {})
    one = next(one for one in status.conditions if one.type == kind)
    return one.status, one.reason, one.message


BUCKET = {
    "destination": {
        "s3": {
            "bucket": "usage",
            "prefix": "/eu/",
            "endpoint": "https://s3.example.org:9000",
            "region": "eu-1",
            "secretName": "s3-key",
        }
    }
}


@pytest.mark.parametrize(("name", "fields"), [("default", {}), ("full", FULL), ("bucket", BUCKET)])
def test_golden(name: str, fields: dict[str, Any]) -> None:
    """The objects of a zone's backups are as they were reviewed."""
    golden(f"{name}-backup", backup.build(context(backup=fields), {"eu-1a": 2}))


FOLLOWED: dict[str, Any] = {"continuous": {"everySeconds": 3}}


@pytest.mark.parametrize("name", ["volume", "bucket"])
def test_golden_shippers(name: str) -> None:
    """What follows a zone's collectors is as it was reviewed."""
    made = context(backup=FOLLOWED | (BUCKET if name == "bucket" else {}))
    golden(f"{name}-shipper", shipper.build(made, {"eu-1a": 2}))


def test_whoever_needs_the_shippers_volume_runs_on_its_node() -> None:
    """A volume belongs to one node at a time; what users ask for of affinity stays beside it."""
    users = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"their": "own"}]}}
    made = context(backup=FOLLOWED, template={"affinity": users})
    assert made.spec.backup
    shelf = backup.own_shelf(made, made.spec.backup, "eu-1a")
    job = backup.build(made, {"eu-1a": 2})[-1]["spec"]["jobTemplate"]
    wanted = restore.Wanted("by hand", shelf, "eu-1a")
    for pods in (job, restore.job(made, wanted, {"eu-1a": 2})):
        affinity = pods["spec"]["template"]["spec"]["affinity"]["podAffinity"]
        terms = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
        assert terms[0] == {"their": "own"}
        assert terms[1]["labelSelector"]["matchLabels"][naming.COMPONENT] == naming.SHIPPER
        assert terms[1]["labelSelector"]["matchLabels"][naming.ZONE] == "eu-1a"
    for unbound in (context(backup={}), context(backup=FOLLOWED | BUCKET)):
        job = backup.build(unbound, {"eu-1a": 2})[-1]["spec"]["jobTemplate"]
        assert "podAffinity" not in job["spec"]["template"]["spec"]["affinity"]


def deployment(available: int | None) -> dict[str, Any]:
    """A shipper of zone a, made long ago."""
    metadata = {"creationTimestamp": "2026-11-01T00:00:00Z"}
    status = {} if available is None else {"availableReplicas": available}
    return {"metadata": metadata, "status": status}


@pytest.mark.parametrize(("available", "found"), [(1, ()), (0, ("a",)), (None, ("a",))])
def test_a_shipper_that_does_not_keep_up_is_told_of(
    available: int | None, found: tuple[str, ...]
) -> None:
    """The condition says that a lost volume would cost more than seconds, and where to look."""
    made = context(backup=FOLLOWED)
    there = {Ref("Deployment", made.names.backup("a")): deployment(available)}
    assert survey.behind(made, Observed(objects=there), ["a", "b"], NOW) == found
    assert survey.behind(context(backup={}), Observed(objects=there), ["a"], NOW) == ()
    if found:
        said = says(facts(run("a"), run("b"), behind=found), "BackedUp")
        assert said[:2] == ("False", "ShipperBehind")
        assert "shipper of a " in said[2]


def test_nothing_is_made_without_being_asked_for() -> None:
    """A resource without the field gets no CronJob, no volume and no policy for them."""
    assert backup.build(context(), {"eu-1a": 1}) == []
    names = [one["metadata"]["name"] for one in network.build(context())]
    assert "speech-backup" not in names
    asked = [one["metadata"]["name"] for one in network.build(context(backup={}))]
    assert "speech-backup" in asked
    assert "speech-shipper" not in asked
    followed = network.build(context(backup=FOLLOWED))
    assert "speech-shipper" in [one["metadata"]["name"] for one in followed]
    assert shipper.build(context(backup={}), {"eu-1a": 1}) == []


@pytest.mark.parametrize("zone", ["a", "eu-1a", "z-9", "z" * 11])
def test_names_fit_and_are_no_collectors(zone: str) -> None:
    """A CronJob's name has at most 52 characters, and none ends as a collector's does."""
    names = naming.Names("n" * 40, "ns")
    assert len(names.backup(zone)) <= 52
    assert names.backup(zone).endswith("-backup")
    others = {names.backup(f"{zone[:9]}{n}") for n in range(9)}
    assert len(others) == 9


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schedule", "daily"),
        ("schedule", "1 2 3"),
        ("schedule", "99 2 * * *"),
        ("keepDays", 0),
        ("continuous", {"everySeconds": 0}),
        ("verify", {"everyDays": -1}),
        ("encryption", {}),
        ("destination", {"volume": {"size": "0"}}),
        ("destination", {"s3": {"bucket": "No Such"}}),
        ("destination", {"s3": {"bucket": "usage", "endpoint": "s3.example.org"}}),
    ],
)
def test_bad_values_are_named(field: str, value: object) -> None:
    """What cannot work is refused with the field."""
    with pytest.raises(errors.InvalidSpec, match=rf"spec\.backup\.{field}"):
        context(backup={field: value})


def test_all_zones_count() -> None:
    """The resource is backed up when every zone is, and as old as the oldest."""
    older = "2026-11-01T02:17:00Z"
    status = judge(facts(run("a"), run("b", time=older, verified=older)), {})
    assert status.last_backup
    assert (status.last_backup.time, status.last_backup.events) == (older, 14)
    assert status.last_backup.verified == older
    assert says(facts(run("a"), run("b")), "BackedUp")[:2] == ("True", "BackedUp")
    assert says(facts(run("a")), "BackedUp")[:2] == ("Unknown", "BackupPending")
    assert says(facts(), "BackupVerified")[:2] == ("Unknown", "VerifyPending")
    assert says(facts(run("a"), run("b")), "BackupVerified")[:2] == ("True", "Verified")
    nothing = Facts(generation=1, now=NOW)
    assert says(nothing, "BackedUp")[:2] == ("Unknown", "NoBackup")


def test_a_failed_run_leaves_the_good_backup_in_the_status() -> None:
    """The condition says why it failed, the row still when the last good one was taken."""
    before = judge(facts(run("a"), run("b")), {}).document()
    failed = run("a", "job-2", result="failed", time=None, error="S3 is away", verified=None)
    status = judge(facts(failed), before)
    row = next(one for one in status.backups if one.zone == "a")
    assert (row.time, row.result, row.job) == (GOOD["time"], "failed", "job-2")
    state, reason, message = says(facts(failed), "BackedUp", before)
    assert (state, reason) == ("False", "BackupFailed")
    assert "S3 is away" in message
    assert says(facts(failed), "BackupVerified", before)[0] == "True"


def test_a_run_that_says_nothing_failed() -> None:
    """A job that was killed has no summary; its condition's words stand instead."""
    killed = dataclasses.replace(run("a"), summary=None, state="failed", why="DeadlineExceeded")
    assert "DeadlineExceeded" in says(facts(killed, run("b")), "BackedUp")[2]


def test_what_a_run_said_outlives_its_pod() -> None:
    """Its node may be drained: one that ended well has not failed, one that failed says why."""
    good = judge(facts(run("a"), run("b")), {})
    silent = dataclasses.replace(run("a"), summary=None)
    assert judge(facts(silent, run("b")), good.document()).backups == good.backups
    assert says(facts(silent, run("b")), "BackedUp")[:2] == ("Unknown", "BackupPending")
    wrong = run("a", "job-2", result="failed", time=None, error="S3 is away", verified=None)
    before = judge(facts(wrong, run("b")), good.document()).document()
    killed = dataclasses.replace(wrong, summary=None, state="failed", why="too often")
    assert "S3 is away" in says(facts(killed, run("b")), "BackedUp", before)[2]


def test_a_backup_that_does_not_prove_is_loud() -> None:
    """What was found wrong stands in the condition."""
    wrong = run("a", result="backed-up", verified_ok=False)
    state, reason, message = says(facts(wrong, run("b")), "BackupVerified")
    assert (state, reason) == ("False", "VerifyFailed")
    assert "zone a" in message


def test_a_backup_that_was_mended_says_so() -> None:
    """It is proven again, and a place that spoils files is not passed over in silence."""
    mended = run("a", error="packages/x was not what was taken, and was fetched again")
    state, reason, message = says(facts(mended, run("b")), "BackupVerified")
    assert (state, reason) == ("True", "Verified")
    assert message.endswith("; zone a: packages/x was not what was taken, and was fetched again")


def test_what_came_back_is_told() -> None:
    """A collector that was restored by itself is not passed over in silence."""
    found = facts(run("a", restored=["speech-a-0: ledger L came back up to 7"]), run("b"))
    state, reason, message = says(found, "BackedUp")
    assert (state, reason) == ("True", "Restored")
    assert "came back up to 7" in message


def test_the_newest_run_counts() -> None:
    """An older failure is forgotten when the next run succeeds."""
    old = run("a", "job-1", result="failed", error="x")
    assert says(facts(run("a", "job-2"), run("b"), old), "BackedUp")[0] == "True"


def test_backup_and_data_in_one_zone_are_warned_of() -> None:
    """A backup that ran on its collectors' node lies beside what it is of."""

    def pod(zone: str, node: str | None) -> dict[str, Any]:
        return {"metadata": {"labels": {naming.ZONE: zone}}, "spec": {"nodeName": node}}

    seen = Observed(
        collectors=[pod("a", "n1"), pod("b", "n2")],
        backup_pods=[pod("a", "n1"), pod("b", "n1"), pod("c", None)],
    )
    spec = context(backup={}).spec
    assert survey.near(spec, seen) == {"a"}
    assert survey.near(context(backup=BUCKET).spec, seen) == frozenset()
    found = facts(run("a"), run("b"), near=survey.near(spec, seen))
    assert says(found, "BackedUp")[:2] == ("True", "SameZone")


def rule(days: int = 7, since: str = "2026-01-01T00:00:00Z") -> BackupRule:
    """Backups every night, zone a's since then."""
    return BackupRule("17 2 * * *", "Etc/UTC", days, {"a": dt.datetime.fromisoformat(since)})


LATE = "2026-11-01T02:17:00Z"


def test_a_backup_that_is_too_old_is_loud() -> None:
    """Whatever its newest run said, the deadline comes first; what that said is not lost."""
    old = run("a", time=LATE)
    state, reason, message = says(facts(old, run("b"), backup_rule=rule()), "BackedUp")
    assert (state, reason) == ("False", "BackupOverdue")
    assert f"a ({LATE})" in message
    before = judge(facts(old, run("b")), {}).document()
    failed = run("a", "job-2", result="failed", time=None, error="S3 is away", verified=None)
    assert "S3 is away" in says(facts(failed, backup_rule=rule()), "BackedUp", before)[2]
    assert says(facts(run("a"), run("b"), backup_rule=rule()), "BackedUp")[1] == "BackedUp"


def test_a_first_backup_that_never_comes_is_loud() -> None:
    """It is due from when its CronJob was made; a zone whose CronJob is new has time."""
    assert "a (none so far)" in says(facts(run("b"), backup_rule=rule()), "BackedUp")[2]
    young = rule(since=NOW.isoformat())
    assert says(facts(run("b"), backup_rule=young), "BackedUp")[1] == "BackupPending"


def test_a_proof_that_is_too_old_is_loud() -> None:
    """So many days later the next run should have given another, unless none is asked for."""
    old = facts(run("a", verified="2026-10-20T02:17:00Z"), run("b"), backup_rule=rule())
    state, reason, message = says(old, "BackupVerified")
    assert (state, reason) == ("False", "VerifyOverdue")
    assert "a (2026-10-20T02:17:00Z)" in message
    longer = dataclasses.replace(old, backup_rule=rule(30))
    assert says(longer, "BackupVerified")[1] == "Verified"
    off = facts(run("a", verified=None), run("b"), backup_rule=rule(0))
    assert says(off, "BackupVerified")[:2] == ("Unknown", "VerifyOff")


def test_cronjobs_tell_since_when_backups_are_due() -> None:
    """Those of exports are none."""

    def cronjob(component: str, **labels: str) -> dict[str, Any]:
        metadata = {"name": component, "creationTimestamp": LATE}
        return {"metadata": metadata | {"labels": {naming.COMPONENT: component} | labels}}

    there = {
        Ref("CronJob", "1"): cronjob(naming.BACKUP, **{naming.ZONE: "a"}),
        Ref("CronJob", "2"): cronjob(naming.EXPORT),
    }
    found = survey.backup_rule(context(backup={}).spec, Observed(objects=there))
    assert found == BackupRule("17 2 * * *", "Etc/UTC", 7, {"a": dt.datetime.fromisoformat(LATE)})
    assert survey.backup_rule(context().spec, Observed(objects=there)) is None


def test_shippers_are_scraped_and_watched() -> None:
    """Where there are any, and Prometheus is: with a monitor and an alert of their own."""
    wanted = {"podMonitor": True, "rules": True}
    offered = frozenset({"PodMonitor", "PrometheusRule"})
    plain = context(backup={}, monitoring=wanted)
    followed = context(backup=FOLLOWED, monitoring=wanted)
    assert len(monitoring.build(dataclasses.replace(plain, offered=offered))) == 2
    monitors = monitoring.build(dataclasses.replace(followed, offered=offered))
    assert [one["metadata"]["name"] for one in monitors[:2]] == [
        "speech-collector",
        "speech-shipper",
    ]
    rules = {one["alert"]: one["expr"] for one in monitors[2]["spec"]["groups"][0]["rules"]}
    assert 'job="metering/speech-shipper"' in rules["UsageBackupLag"]
    assert 'job="metering/speech-collector"' in rules["UsageCollectorDown"]
