"""What is told of a resource whose spec cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

from tests.operator.support import NOW, as_observed, context, document, pod, settled
from usage_operator import conditions, errors, manifests, spec
from usage_operator.conditions import Facts, Lost, Said, ZoneFacts
from usage_operator.plan import Ref, ref
from usage_operator.reconcile import unread
from usage_operator.reconcile.observe import Observed

LOST = Lost("speech-eu-1a-0", "2026-11-05T10:00:00Z", "2026-11-05T11:00:00Z")
BACKUP = {
    "zone": "eu-1a",
    "result": "backed-up",
    "job": "job-1",
    "events": 7,
    "bytes": 9,
    "time": "2026-11-05T02:17:00Z",
    "verified": "2026-11-02T02:17:00Z",
    "verifiedOk": True,
    "restored": [],
}


def stands(**fields: Any) -> tuple[dict[str, Any], Observed]:
    """Give the status of a resource that serves, and what there is of it."""
    ours = context(**fields)
    made = [as_observed(one) for one in manifests.build(ours, manifests.Known({"eu-1a": 1}), NOW)]
    seen = Observed({ref(one): one for one in made}, collectors=[pod("speech-eu-1a-0", "eu-1a")])
    seen.objects[Ref("StatefulSet", "speech-eu-1a")]["status"] = settled()
    said = Said("1.0", "91%", "1Gi", damaged=1, lost=(LOST,))
    facts = Facts(
        generation=1,
        now=NOW,
        zones=(ZoneFacts("eu-1a", 1, 1, said=said),),
        endpoints=("speech.metering.svc:9090", "speech-reporting.metering.svc:8000"),
        ca_bundle="speech-ca",
        next_export=("2026-11", "2026-11-30T06:00:00Z"),
    )
    return conditions.judge(facts, {}).document() | {"backups": [BACKUP]}, seen


def unreadable(before: dict[str, Any], seen: Observed) -> conditions.Facts:
    """Give what is told once the spec names a time zone that there is not."""
    broken = document(export={"timeZone": "Europe/Nowhere"}) | {"status": before}
    with pytest.raises(errors.InvalidSpec) as caught:
        spec.parse(broken)
    facts = Facts(generation=2, now=NOW)
    return unread.tell(facts, broken, seen, context().names, caught.value)


def test_what_was_known_is_not_forgotten() -> None:
    """Backups go on, a lost volume stays lost, and clients find the same addresses."""
    before, seen = stands(backup={})
    status = conditions.judge(unreadable(before, seen), before)
    found = {one.type: (one.status, one.reason) for one in status.conditions}
    assert found["Ready"] == ("False", "InvalidSpec")
    assert found["BackedUp"] == ("True", "BackedUp")
    assert found["BackupVerified"] == ("True", "Verified")
    assert found["Degraded"] == ("True", "VolumeFilling")
    told = next(one.message for one in status.conditions if one.type == "Degraded")
    assert "speech-eu-1a-0 lost what it held" in told
    assert "usage-operator.io/restore=eu-1a/0" in told
    assert "1 damaged ledger" in told
    after = status.document()
    assert after["backups"] == [BACKUP]
    for kept in ("endpoints", "caBundle", "nextExport", "zones"):
        assert after[kept] == before[kept]


def test_what_is_new_has_nothing_to_tell() -> None:
    """A resource that was never read has neither addresses nor backups."""
    status = conditions.judge(unreadable({}, Observed()), {})
    assert (status.endpoints, status.ca_bundle, status.backups) == (None, None, [])
    assert {one.reason for one in status.conditions if one.type == "BackedUp"} == {"NoBackup"}
