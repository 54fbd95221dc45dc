"""Restores that the operator runs: what is asked for, the jobs, and what is said of them."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.operator.support import NOW, as_observed, context, golden, pod
from usage_operator import errors, manifests, settings, spec
from usage_operator.conditions import Facts, Run, judge
from usage_operator.manifests import restore
from usage_operator.manifests.backup import Shelf
from usage_operator.plan import Fleet, Ref, Verb, diff, ref
from usage_operator.reconcile import restores
from usage_operator.reconcile.observe import Observed
from usage_operator.reconcile.references import References
from usage_operator.reconcile.restoring import Restoring

if TYPE_CHECKING:
    from usage_operator.kube import Client

BUCKET = {"bucket": "usage", "prefix": "eu", "secretName": "s3-key"}


def source(**fields: Any) -> dict[str, Any]:
    """A spec.restore."""
    return {"from": fields}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (source(), r"spec\.restore\.from: needs exactly one of volume and s3"),
        (source(s3=BUCKET, volume={"claimNames": ["a"]}), "exactly one of volume and s3"),
        (source(volume={"claimNames": []}), r"spec\.restore\.from\.volume\.claimNames"),
        (source(s3=BUCKET, collectors=["No Such"]), r"spec\.restore\.from\.collectors\[0\]"),
        ({}, r"spec\.restore\.from"),
    ],
)
def test_bad_sources_are_named(fields: dict[str, Any], named: str) -> None:
    """What cannot work is refused with the field."""
    with pytest.raises(errors.InvalidSpec, match=named):
        context(restore=fields)


CLAIM = Shelf("old-eu-1a-backup", None, None)


def args(wanted: restore.Wanted, **fields: Any) -> list[str]:
    """The command of a restore's job."""
    made = restore.job(context(**fields), wanted, {"eu-1a": 2, "eu-1b": 1})
    return list(made["spec"]["template"]["spec"]["containers"][0]["args"])


def test_golden() -> None:
    """The job of a restore is as it was reviewed: it only reads the backups."""
    wanted = restore.Wanted("spec.restore.from", CLAIM, everyone=True)
    golden("restore", restore.job(context(), wanted, {"eu-1a": 2}))


def test_a_zone_or_collector_is_restored_alone() -> None:
    """The others are not even asked."""
    zone = args(restore.Wanted("restore eu-1a", CLAIM, "eu-1a"))
    assert zone[3].count("https://") == 2
    assert "speech-eu-1b" not in zone[3]
    one = args(restore.Wanted("restore eu-1a/1", CLAIM, "eu-1a", 1, dry_run=True))
    assert one[3] == "https://speech-eu-1a-1.speech-eu-1a.metering.svc:8000"
    assert "--dry-run" in one
    assert "--dry-run" not in zone


def test_all_backups_of_a_bucket_come_to_all() -> None:
    """Those of the collectors that are named; key and credentials are mounted files."""
    asked = context(
        restore=source(s3=BUCKET, collectors=["old-a-0"], encryption={"secretName": "key"})
    )
    wanted = asked.spec.restore
    assert wanted
    shelf = Shelf(None, wanted.source.s3, wanted.source.encryption)
    made = restore.job(
        asked, restore.Wanted("x", shelf, everyone=True, collectors=("old-a-0",)), {"eu-1a": 1}
    )
    container = made["spec"]["template"]["spec"]["containers"][0]
    words = container["args"]
    assert words[1] == "s3://usage/eu?credentials=/etc/usage/s3"
    assert words[4:7] == ["--all", "--collector", "old-a-0"]
    mounted = {one["mountPath"] for one in container["volumeMounts"]}
    assert {"/etc/usage/s3", "/etc/usage/backup"} <= mounted


def test_a_job_is_named_after_what_is_asked_for() -> None:
    """Another request is another job; a new image or a further zone changes nothing."""
    names = [
        restore.name(context(), wanted)
        for wanted in (
            restore.Wanted("restore eu-1a", CLAIM, "eu-1a"),
            restore.Wanted("restore eu-1b", CLAIM, "eu-1b"),
            restore.Wanted("dry run eu-1a", CLAIM, "eu-1a", dry_run=True),
            restore.Wanted("restore eu-1a", Shelf("other", None, None), "eu-1a"),
            restore.Wanted("auto eu-1a", CLAIM, "eu-1a", evidence="ledger 1 is damaged"),
            restore.Wanted("auto eu-1a", CLAIM, "eu-1a", evidence="ledger 2 is damaged"),
        )
    ]
    assert len(set(names)) == len(names)
    again = restore.Wanted("restore eu-1a", CLAIM, "eu-1a")
    assert restore.name(context(image="other:1"), again) == names[0]


def test_what_restores_need_is_made_for_them() -> None:
    """An account without rights, and a policy that lets nobody connect to their pods."""
    asked = context(restore=source(volume={"claimNames": ["old"]}))
    made = manifests.build(asked, manifests.Known({"eu-1a": 1}), NOW)
    names = {(one["kind"], one["metadata"]["name"]) for one in made}
    assert {("ServiceAccount", "speech-backup"), ("NetworkPolicy", "speech-backup")} <= names
    assert ("PersistentVolumeClaim", "speech-eu-1a-backup") not in names


FLEET = Fleet({"eu-1a": 1, "eu-1b": 2}, {}, ())
PODS = [("speech-eu-1a-0", "eu-1a"), ("speech-eu-1b-0", "eu-1b"), ("speech-eu-1b-1", "eu-1b")]


def seen(*jobs: dict[str, Any], unready: str = "") -> Observed:
    """All collectors, ready but for one, and these jobs."""
    pods = [pod(name, zone, ready=name != unready) for name, zone in PODS]
    return Observed({ref(job): job for job in jobs}, collectors=pods)


def asked(annotations: dict[str, str], **fields: Any) -> manifests.Context:
    """A resource with annotations of that ending."""
    found = context(**fields).resource
    named = {f"usage-operator.io/{name}": value for name, value in annotations.items()}
    resource = spec.Resource(found.name, found.namespace, found.uid, 1, found.spec, named)
    return manifests.Context(resource, "usage-collector:1.2.3")


def decided(
    of: manifests.Context, found: Observed | None = None, lost: dict[str, str] | None = None
) -> restores.Restores:
    """What is to run."""
    return restores.decide(of, found or seen(), FLEET, lost or {}, NOW)


def ended(of: manifests.Context, wanted: restore.Wanted, how: str, minutes: int) -> dict[str, Any]:
    """A restore's job that was made that long ago, and failed or is complete."""
    job = as_observed(
        restore.job(of, wanted, FLEET.running), conditions=[{"type": how, "status": "True"}]
    )
    made = NOW - dt.timedelta(minutes=minutes)
    job["metadata"]["creationTimestamp"] = made.strftime("%Y-%m-%dT%H:%M:%SZ")
    return job


def test_each_annotation_asks_for_its_zones_and_collectors() -> None:
    """A dry run is asked for beside it; the same word twice is one request."""
    of = asked({"restore": "eu-1a, eu-1b/1,eu-1a", "restore-dry-run": "eu-1b"}, backup={})
    found = decided(of)
    assert [(one.zone, one.ordinal, one.dry_run) for one in found.wanted] == [
        ("eu-1a", None, False),
        ("eu-1b", 1, False),
        ("eu-1b", None, True),
    ]
    assert found.wanted[1].shelf.claim == "speech-eu-1b-backup"
    assert found.wanted[0].request == "usage-operator.io/restore eu-1a"
    assert not found.troubles


@pytest.mark.parametrize("word", ["eu-9", "eu-1b/2", "eu-1b/x", "eu-1b/", "eu-1b/-1"])
def test_what_is_no_collector_is_refused(word: str) -> None:
    """The message names the annotation with its value, and the zones that there are."""
    found = decided(asked({"restore": word}, backup={}))
    assert not found.wanted
    assert f"usage-operator.io/restore {word}" in found.troubles[0]
    assert "eu-1a, eu-1b" in found.troubles[0]


def test_without_backups_there_is_nothing_to_restore_from() -> None:
    """The remedy is named."""
    (trouble,) = decided(asked({"restore": "eu-1a"})).troubles
    assert "spec.backup is not set" in trouble


def test_a_restore_waits_for_those_that_take_it() -> None:
    """Only for those, and one that runs already goes on when they go away."""
    of = asked({"restore": "eu-1a,eu-1b"}, backup={})
    found = decided(of, seen(unready="speech-eu-1b-1"))
    assert [one.zone for one in found.wanted] == ["eu-1a"]
    assert found.waits == ("usage-operator.io/restore eu-1b: waits until the collectors are ready",)
    job = as_observed(restore.job(of, decided(of).wanted[1], FLEET.running))
    job["metadata"]["creationTimestamp"] = "2026-11-05T12:00:00Z"
    again = decided(of, seen(job, unready="speech-eu-1b-1"))
    assert [one.zone for one in again.wanted] == ["eu-1a", "eu-1b"]


def test_one_job_for_each_volume_of_backups() -> None:
    """Claims may be bound to nodes apart from each other; a bucket is one place."""
    volumes = decided(context(restore=source(volume={"claimNames": ["a", "b", "a"]})))
    assert [(one.shelf.claim, one.everyone) for one in volumes.wanted] == [("a", True), ("b", True)]
    bucket = decided(context(restore=source(s3=BUCKET, collectors=["old-a-0"])))
    assert [one.collectors for one in bucket.wanted] == [("old-a-0",)]


def test_a_failed_restore_is_tried_again_later() -> None:
    """Its job goes after half an hour, and the next look makes another."""
    of = asked({"restore": "eu-1a"}, backup={})
    (wanted,) = decided(of).wanted
    assert decided(of, seen(ended(of, wanted, "Failed", 5))).wanted == (wanted,)
    later = decided(of, seen(ended(of, wanted, "Failed", 31)))
    assert (later.wanted, later.kept) == ((), frozenset())
    assert "tried again" in later.waits[0]
    assert decided(of, seen(ended(of, wanted, "Complete", 99))).wanted == (wanted,)


def test_what_a_collector_lost_is_restored_once() -> None:
    """Its job stays when the loss is made good; another loss is another job."""
    of = context(backup={"autoRestore": True})
    (wanted,) = decided(of, lost={"eu-1b": "0 damaged: x"}).wanted
    assert (wanted.zone, wanted.dry_run) == ("eu-1b", False)
    job = ended(of, wanted, "Complete", 1)
    name = job["metadata"]["name"]
    assert decided(of, seen(job)).kept == {Ref("Job", name)}
    (other,) = decided(of, seen(job), {"eu-1b": "0 damaged: y"}).wanted
    assert restore.name(of, other) != name


def ledger(began: str, **more: Any) -> dict[str, Any]:
    """A ledger as `GET /v1/periods` has it."""
    return {"id": f"id-{began}", "began": f"{began}T00:00:00Z", "readable": True, **more}


@pytest.mark.parametrize(
    ("ledgers", "found"),
    [
        ([ledger("2026-10-01")], None),
        ([ledger("2026-10-01"), ledger("2026-11-03")], None),
        ([ledger("2026-11-03")], "empty since 2026-11-03T00:00:00+00:00"),
        ([ledger("2026-10-01", damaged=True)], "damaged: id-2026-10-01"),
        ([ledger("2026-10-01", readable=False)], "damaged: id-2026-10-01"),
        ([ledger("2026-10-01", damaged=True, restored=True)], None),
        ([], None),
    ],
)
def test_losses_are_told_from_the_ledgers_themselves(
    ledgers: list[dict[str, Any]], found: str | None
) -> None:
    """Nothing older than the backup, or something damaged; what came back already counts."""
    assert restores.lacks({"ledgers": ledgers}, "2026-11-02T02:17:00Z") == found


def test_nothing_is_lost_without_a_backup() -> None:
    """A new collector is no empty one."""
    assert restores.lacks({"ledgers": [ledger("2026-11-03")]}, None) is None


def test_jobs_are_never_changed_and_go_when_nobody_asks() -> None:
    """A new image leaves a job as it is; without its request it is deleted."""
    of = asked({"restore": "eu-1a"}, backup={})
    wanted = decided(of).wanted
    job = ended(of, wanted[0], "Complete", 1)
    newer = restore.job(manifests.Context(of.resource, "other:2"), wanted[0], FLEET.running)
    there = {ref(job): job}
    assert diff([newer], there, name="speech", uid="uid-1").steps == []
    gone = diff([], there, name="speech", uid="uid-1")
    assert [(step.verb, step.ref) for step in gone.prunes] == [(Verb.DELETE, ref(job))]


def run(state: str = "complete", request: str = "x", **said: Any) -> Run:
    """A run of a restore."""
    return Run(f"job-{request}", "2026-11-05T11:00:00Z", state, said or None, None, None, request)


def says(*found: Run, before: dict[str, Any] | None = None, **more: Any) -> tuple[str, str, str]:
    """The condition."""
    facts = Facts(generation=1, now=NOW, restores=found, **more)
    status = judge(facts, before or {})
    one = next(one for one in status.conditions if one.type == "Restored")
    return one.status, one.reason, one.message


BACK: dict[str, Any] = {
    "result": "restored",
    "came_back": ["c, ledger 1: 1 to 5 came back"],
    "lost": [],
}


def test_the_condition_says_what_came_back_and_what_is_lost() -> None:
    """A loss that is known is named, and no failure; a dry run claims nothing."""
    assert says(run(**BACK)) == ("True", "Restored", "x: c, ledger 1: 1 to 5 came back")
    lossy = run(**{**BACK, "lost": ["c, ledger 1: 6 to 9"]})
    assert says(lossy)[:2] == ("True", "RestoredWithLoss")
    assert "lost: c, ledger 1: 6 to 9" in says(lossy)[2]
    plan = run(**{**BACK, "result": "planned", "lost": ["c, ledger 1: 6 to 9"]})
    assert says(plan)[:2] == ("Unknown", "RestorePlanned")
    assert says(run(result="nothing"))[2] == "x: nothing to bring back"


def test_what_is_in_the_way_comes_first() -> None:
    """Of several restores the one that failed is told; it is tried again."""
    failed = run("failed", "y", result="failed", error="encrypted with another key")
    state, reason, message = says(run(**BACK), failed)
    assert (state, reason) == ("False", "RestoreFailed")
    assert message.startswith("y: encrypted with another key")
    assert says(run("running"), run(**BACK))[:2] == ("Unknown", "Restoring")
    assert says(restore_waits=("z: waits",))[:2] == ("Unknown", "Restoring")
    assert says(failed, restore_troubles=("no such zone",))[:2] == ("False", "RestoreRefused")


def test_nothing_is_said_where_nothing_is_asked_for() -> None:
    """Most resources never restore anything."""
    status = judge(Facts(generation=1, now=NOW), {})
    assert "Restored" not in {one.type for one in status.conditions}


def test_a_result_outlives_its_pod() -> None:
    """Pods go sooner than jobs; what was said stays as long as the job does."""
    facts = Facts(generation=1, now=NOW, restores=(run(**BACK, events=5),))
    before = judge(facts, {}).document()
    row = before["restores"]
    silent = Facts(generation=1, now=NOW, restores=(run(),))
    assert judge(silent, before).document()["restores"] == row


class Secrets:
    """Stands for a cluster in which these Secrets are."""

    def __init__(self, **there: dict[str, str]) -> None:
        self._there = there

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """Give a Secret."""
        assert (kind, namespace) == ("Secret", "metering")
        name = name.replace("-", "_")
        return {"data": self._there[name]} if name in self._there else None


async def looked(of: manifests.Context, there: Secrets, found: Observed) -> restores.Restores:
    """What is to run, when Secrets are looked at."""
    shell = Restoring(settings.Settings())
    client = cast("Client", there)
    return await shell.look(client, of, found, FLEET, References(), {}, NOW)


async def test_a_source_without_its_secrets_is_held_back() -> None:
    """Its pod would wait for ever; once the job is there nobody asks for them any more."""
    of = context(restore=source(s3=BUCKET, encryption={"secretName": "key"}))
    both = Secrets(s3_key={"AWS_ACCESS_KEY_ID": "eA==", "AWS_SECRET_ACCESS_KEY": "eA=="})
    found = await looked(of, both, seen())
    assert found.wanted == ()
    (trouble,) = found.troubles
    assert "spec.restore.from.encryption.secretName: there is no Secret key" in trouble
    assert len((await looked(of, Secrets(), seen())).troubles) == 2
    (wanted,) = decided(of).wanted
    job = ended(of, wanted, "Complete", 1)
    done = await looked(of, Secrets(), seen(job))
    assert (done.wanted, done.troubles) == ((wanted,), ())


def test_a_restore_runs_beside_the_shipper_of_its_volume() -> None:
    """One node alone can have the volume, and the shipper keeps it."""
    follows = context(backup={"continuous": {}})
    wanted = restore.Wanted("restore eu-1a", CLAIM, "eu-1a")
    made = restore.job(follows, wanted, {"eu-1a": 1})["spec"]["template"]["spec"]
    assert "podAffinity" in made["affinity"]
    alone = restore.job(context(backup={}), wanted, {"eu-1a": 1})["spec"]["template"]["spec"]
    assert "affinity" not in alone
