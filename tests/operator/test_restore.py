"""Restores that the operator runs: what is asked for, the jobs, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.operator.support import NOW, context, golden
from usage_operator import errors, manifests
from usage_operator.manifests import restore
from usage_operator.manifests.backup import Shelf

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
