"""The operator, as a process with exactly its rights, on a real cluster."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.kind_helper.errors import CommandFailed
from tests.operator.live import ZONES, later
from usage_operator.manifests import pki

if TYPE_CHECKING:
    from tests.operator.live import Place

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def test_from_apply_to_ready_and_then_quiet(place: Place) -> None:
    """All becomes Ready under the restricted level, and from then on nothing is written."""
    place.apply(export=later())
    place.ready()
    assert len(place.pods()) == 2
    status = place.status()
    assert status["summary"] == {"zones": "2/2", "replicas": "2/2"}
    assert status["endpoints"]["ingest"] == f"{place.name}.{place.namespace}.svc:9090"
    assert status["nextExport"]["period"]
    assert place.conditions()["Degraded"][0] == "False"
    before, budget = place.written(), f"PodDisruptionBudget/{place.name}-collector"
    # An annotation that says nothing makes the operator look once more; it has to see it first.
    place.kubectl("annotate", "service", place.name, "looked=1")
    place.kubectl("delete", "pdb", f"{place.name}-collector")
    place.until("the budget is back", lambda: budget in place.written())
    after = place.written()
    assert {name for name in before if before[name] != after.get(name)} == {budget}


def test_children_come_back(place: Place) -> None:
    """What is deleted or changed by hand is as it was; foreign fields stay."""
    place.apply()
    place.ready()
    pods = place.pods()
    place.kubectl("annotate", "configmap", f"{place.name}-peers", "theirs=stays")
    place.kubectl("patch", "configmap", f"{place.name}-peers", "-p", '{"data":{"peers":"x"}}')
    place.until(
        "the peers are back",
        lambda: f"{place.name}-eu-1a-0" in place.get("cm", f"{place.name}-peers")["data"]["peers"],
    )
    assert place.get("cm", f"{place.name}-peers")["metadata"]["annotations"]["theirs"] == "stays"
    watched = "service,configmap,serviceaccount,pdb,cronjob,networkpolicy"
    ours = (watched, "-l", f"app.kubernetes.io/instance={place.name}")
    names = set(place.kubectl("get", *ours, "-o", "name").split())
    assert {one.partition("/")[0].partition(".")[0] for one in names} == {
        *("service", "configmap", "serviceaccount", "poddisruptionbudget", "cronjob"),
        "networkpolicy",
    }
    place.kubectl("delete", *ours)
    place.until(
        "every child is back",
        lambda: set(place.kubectl("get", *ours, "-o", "name").split()) == names,
    )
    changes: tuple[tuple[str, dict[str, Any]], ...] = (
        (f"pdb/{place.name}-collector", {"maxUnavailable": 0}),
        (f"cronjob/{place.name}-export", {"schedule": "0 0 1 1 *"}),
        (f"networkpolicy/{place.name}-export", {"ingress": [{}]}),
        (f"statefulset/{place.name}-eu-1b", {"minReadySeconds": 3600}),
    )
    for child, change in changes:
        before = place.get(child)["spec"]
        place.kubectl("patch", child, "--type=merge", "-p", json.dumps({"spec": change}))
        place.until(
            f"{child} is as it was",
            lambda child=child, before=before: place.get(child)["spec"] == before,  # type: ignore[misc]
        )
    patch = '{"spec":{"selector":{"theirs":"selects-nothing"}}}'
    place.kubectl("patch", "service", place.name, "-p", patch)
    place.until(
        "the selector is back",
        lambda: "theirs" not in place.get("service", place.name)["spec"]["selector"],
    )
    uid = place.get("sts", f"{place.name}-eu-1b")["metadata"]["uid"]
    place.kubectl("delete", "statefulset", f"{place.name}-eu-1b", "--cascade=orphan")
    place.until(
        "the StatefulSet is made anew",
        lambda: uid not in [one["metadata"]["uid"] for one in place.collectors("sts")] != [],
    )
    place.until("both zones are ready", lambda: place.status()["summary"]["zones"] == "2/2")
    place.ready()
    assert place.pods() == pods


def test_keys_and_volumes_survive_a_deletion(alone: Place) -> None:
    """What a resource finds again, deleted with the operator there and while it was down."""
    alone.apply()
    alone.ready()
    names = (f"{alone.name}-keys", f"{alone.name}-ca-key")
    keys = [alone.get("secret", name)["data"] for name in names]
    claims = {one["metadata"]["uid"] for one in alone.collectors("pvc")}
    assert len(claims) == 2
    alone.kubectl("delete", "uc", alone.name)
    alone.until("the pods are gone", lambda: not alone.pods())
    alone.until("it was told", lambda: "VolumesKept" in alone.kubectl("get", "events"))
    alone.apply()
    alone.ready()
    pods = alone.pods()
    alone.stop()
    assert alone.pods() == pods
    alone.apply(export={"at": "05:00"})
    with pytest.raises(CommandFailed, match="timed out"):
        # Nobody has looked at what was changed: the status is still of what was before.
        alone.ready(timeout=2)
    alone.kubectl("delete", "uc", alone.name)
    alone.until("the pods are gone", lambda: not alone.pods())
    alone.apply()
    alone.start()
    alone.ready()
    assert [alone.get("secret", name)["data"] for name in names] == keys
    assert {one["metadata"]["uid"] for one in alone.collectors("pvc")} == claims


def test_a_name_that_is_taken(place: Place) -> None:
    """Another's object is named in the condition and left as it is; without it all goes on."""
    place.kubectl("create", "configmap", f"{place.name}-peers", "--from-literal=theirs=1")
    place.apply()
    assert f"ConfigMap {place.name}-peers" in place.reason("Ready", "NameTaken")
    assert place.get("cm", f"{place.name}-peers")["data"] == {"theirs": "1"}
    assert not place.pods()
    place.kubectl("delete", "configmap", f"{place.name}-peers")
    place.ready()


def test_what_is_missing_becomes_a_condition(place: Place) -> None:
    """Secrets and storage classes that are not there are named, with field and remedy."""
    place.apply(storage={"storageClassName": "none-such"})
    words = place.reason("Ready", "StorageClassMissing")
    assert "spec.storage.storageClassName" in words
    assert "none-such" in words
    place.kubectl("delete", "uc", place.name)
    place.apply(reporting={"tokens": {"secretName": f"{place.name}-mine"}})
    words = place.reason("Ready", "SecretMissing")
    assert "spec.reporting.tokens.secretName" in words
    assert "keys tokens and admin" in words
    place.kubectl(
        "create", "secret", "generic", f"{place.name}-mine", "--from-literal=tokens=admin x"
    )
    assert "lacks admin" in place.reason("Ready", "SecretInvalid")
    place.kubectl("delete", "secret", f"{place.name}-mine")
    place.kubectl(
        *(
            "create",
            "secret",
            "generic",
            f"{place.name}-mine",
            "--from-literal=tokens=admin x\nread y",
        ),
        "--from-literal=admin=x",
    )
    place.ready()
    bucket = {"s3": {"bucket": "usage", "secretName": "none-such"}}
    place.apply(
        reporting={"tokens": {"secretName": f"{place.name}-mine"}},
        export={"destinations": [{"volume": {}}, bucket]},
    )
    # What only exports need keeps only them from being done: collectors go on.
    assert "spec.export.destinations[1].s3" in place.reason("Degraded", "SecretMissing")
    assert "none-such" in place.reason("Exported", "SecretMissing")
    place.ready()


def test_a_volume_of_exports_without_a_class(place: Place) -> None:
    """It is told of, and made with the corrected class; collectors come all the same."""
    claim = ("pvc", f"{place.name}-export", "--ignore-not-found", "--output=name")
    place.apply(export={"destinations": [{"volume": {"storageClassName": "none-such"}}]})
    place.ready()
    words = place.reason("Degraded", "StorageClassMissing")
    assert "spec.export.destinations[0].volume.storageClassName" in words
    assert "none-such" in place.reason("Exported", "StorageClassMissing")
    assert not place.kubectl("get", *claim)
    place.apply(export={"destinations": [{"volume": {"storageClassName": "usage-fixed"}}]})
    place.until("the claim is made", lambda: place.kubectl("get", *claim))
    place.until("nothing is in the way", lambda: place.conditions()["Degraded"][0] == "False")


def test_a_certificate_that_does_not_fit_is_not_used(place: Place) -> None:
    """Names that it lacks and an authority that clients lack are told; the right one serves."""
    now = dt.datetime.now(dt.UTC)
    ca = pki.make_ca("theirs", now)
    hosts = [f"{place.name}.{place.namespace}.svc", f"{place.name}-reporting.{place.namespace}.svc"]
    zones = [f"*.{place.name}-eu-1a.{place.namespace}.svc"]

    def give(names: list[str], **more: bytes) -> None:
        pair = pki.make_leaf(ca, names, now)
        data = {"tls.crt": pair.certificate, "tls.key": pair.key, **more}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {"name": f"{place.name}-mine"},
            "stringData": {key: value.decode() for key, value in data.items()},
        }
        place.kubectl("apply", "-f", "-", stdin=json.dumps(secret))

    give(hosts)
    place.apply(zones=ZONES[:1], ingest={"tls": {"secretName": f"{place.name}-mine"}})
    words = place.reason("Ready", "SecretInvalid")
    assert f"spec.ingest.tls.secretName: the certificate is not valid for {zones[0]}" in words
    give(hosts + zones)
    assert "ca.crt" in place.reason("Ready", "SecretInvalid", "CN=theirs")
    assert not place.pods()
    give(hosts + zones, **{"ca.crt": ca.certificate})
    place.ready()
    bundle = place.get("cm", f"{place.name}-ca")["data"]["ca.crt"]
    assert ca.certificate.decode().strip() in bundle


def test_what_leaves_the_spec_stays_until_it_is_discarded(place: Place) -> None:
    """Zones and replicas run on as peers; the annotation removes them, never their volumes."""
    place.apply(zones=[ZONES[0], ZONES[1] | {"replicas": 2}])
    place.ready()
    pods = place.pods()
    place.apply(zones=[ZONES[1]])
    words = place.reason("Progressing", "Leaving")
    assert "discard=eu-1b/1,eu-1a" in words
    assert place.pods() == pods
    assert len(place.get("cm", f"{place.name}-peers")["data"]["peers"].splitlines()) == 3
    rows = {row["name"]: row for row in place.status()["zones"]}
    assert rows["eu-1a"]["leaving"]
    place.kubectl("delete", "statefulset", f"{place.name}-eu-1a", "--wait=true")
    gone = pods.pop(f"{place.name}-eu-1a-0")
    place.until(
        "what left and was deleted by hand is back, for its volume",
        lambda: place.pods().get(f"{place.name}-eu-1a-0", gone) != gone,
    )
    place.until("both zones serve", lambda: place.status()["summary"]["zones"] == "2/2")
    assert place.pods().items() >= pods.items()
    assert len(place.get("cm", f"{place.name}-peers")["data"]["peers"].splitlines()) == 3
    pods = place.pods()
    place.kubectl("annotate", "uc", place.name, "usage-operator.io/discard=eu-1b/1,eu-1a")
    place.until("only one is left", lambda: set(place.pods()) == {f"{place.name}-eu-1b-0"})
    assert place.pods()[f"{place.name}-eu-1b-0"] == pods[f"{place.name}-eu-1b-0"]
    place.ready()
    marked = {
        one["metadata"]["name"]
        for one in place.collectors("pvc")
        if "usage-operator.io/discarded" in one["metadata"]["annotations"]
    }
    assert marked == {f"data-{place.name}-eu-1a-0", f"data-{place.name}-eu-1b-1"}
    peers = place.get("cm", f"{place.name}-peers")["data"]["peers"].splitlines()
    assert len(peers) == 1
    place.kubectl("annotate", "uc", place.name, "usage-operator.io/discard-")
    place.kubectl("delete", "pdb", f"{place.name}-collector")
    place.until("it was seen", lambda: place.collectors("pdb"))
    assert set(place.pods()) == {f"{place.name}-eu-1b-0"}
    place.kubectl("annotate", "uc", place.name, "usage-operator.io/discard=eu-1a")
    place.apply(zones=ZONES)
    assert "eu-1a" in place.reason("Degraded", "DiscardInUse")
    place.ready()
    assert not any(
        "usage-operator.io/discarded" in one["metadata"].get("annotations", {})
        for one in place.collectors("pvc")
        if one["metadata"]["name"].endswith("-0")
    )


def test_volumes_grow_under_running_pods(place: Place) -> None:
    """A greater size reaches the file system without a restart."""
    place.apply()
    place.ready()
    pods = place.pods()
    place.apply(storage={"size": "2Gi"})
    place.until(
        "the volumes have grown",
        lambda: (
            [one["status"]["capacity"]["storage"] for one in place.collectors("pvc")]
            == ["2Gi", "2Gi"]
        ),
    )
    place.ready()
    assert place.pods() == pods
    template = place.get("sts", f"{place.name}-eu-1a")["spec"]["volumeClaimTemplates"][0]
    assert template["spec"]["resources"]["requests"]["storage"] == "2Gi"


def test_volumes_that_cannot_change_are_told_of(place: Place) -> None:
    """Another storage class is told while all serve; one without growth in the API's own words."""
    place.apply(storage={"storageClassName": "usage-fixed"})
    place.ready()
    pods = place.pods()
    exports = {"destinations": [{"volume": {"storageClassName": "usage-fixed"}}]}
    place.apply(storage={"storageClassName": "usage-local"}, export=exports)
    words = place.reason("Degraded", "StorageClassDiffers")
    assert f"data-{place.name}-eu-1b-0 are of usage-fixed" in words
    assert f"{place.name}-export is of usage-local" in words
    place.ready()
    place.apply(storage={"storageClassName": "usage-fixed", "size": "2Gi"})
    words = place.reason("Ready", "ApplyFailed")
    assert f"PersistentVolumeClaim data-{place.name}-eu-1a-0" in words
    assert place.pods() == pods


def window(hours: int) -> tuple[dict[str, Any], str]:
    """Give a maintenance window that opened, or opens, so many hours from now; and when."""
    opens = dt.datetime.now(dt.UTC).replace(second=0) + dt.timedelta(hours=hours)
    return {"at": f"{opens:%H:%M}", "hours": 2}, f"opens at {opens:%Y-%m-%dT%H:%M:%SZ}"


def test_one_zone_rolls_at_a_time_and_a_bad_one_stops_the_rollout(place: Place) -> None:
    """Changes wait for their window; a broken one reaches one zone only, and a corrected spec
    repairs that without help, whatever the hour, while the zone that serves waits again.
    """
    place.apply()
    place.ready()
    pods = place.pods()
    closed, opens = window(3)
    place.apply(image="localhost/none-such:1", maintenanceWindow=closed)
    assert opens in place.reason("Ready", "WaitingForWindow")
    assert opens in place.reason("Progressing", "WaitingForWindow")
    assert place.pods() == pods
    place.apply(image="localhost/none-such:1", maintenanceWindow=window(-1)[0])
    place.until(
        "the first zone is told of",
        lambda: "ErrImage" in str(place.conditions()) or "ImagePull" in str(place.conditions()),
    )
    assert f"waits for {place.name}-eu-1a" in place.conditions()["Ready"][2]
    assert place.pods()[f"{place.name}-eu-1b-0"] == pods[f"{place.name}-eu-1b-0"]
    corrected = {"annotations": {"second": "attempt"}}
    place.apply(template=corrected, maintenanceWindow=closed)
    place.until("both zones serve", lambda: place.status()["summary"]["zones"] == "2/2")
    words = place.reason("Ready", "WaitingForWindow")
    assert f"{place.name}-eu-1b waits for the maintenance window" in words
    assert place.pods()[f"{place.name}-eu-1b-0"] == pods[f"{place.name}-eu-1b-0"]
    place.apply(template=corrected, maintenanceWindow=window(-1)[0])
    place.ready()
    now = place.pods()
    assert now.keys() == pods.keys()
    assert not set(now.values()) & set(pods.values())


def test_volumes_can_go_with_the_resource(place: Place) -> None:
    """With whenDeleted: Delete the collectors' claims go, and come when it is taken back."""
    place.apply(storage={"whenDeleted": "Delete"})
    place.ready()

    def owners() -> set[str]:
        claims = place.collectors("pvc")
        return {
            one["kind"] for claim in claims for one in claim["metadata"].get("ownerReferences", [])
        }

    place.until("claims are owned", lambda: owners() == {"UsageCollector"})
    place.apply(storage={"whenDeleted": "Retain"})
    place.until("claims are free", lambda: owners() == set())
    place.apply(storage={"whenDeleted": "Delete"})
    place.until("claims are owned again", lambda: owners() == {"UsageCollector"})
    place.kubectl("delete", "uc", place.name)
    place.until("the claims are gone", lambda: not place.collectors("pvc"))
    assert place.get("pvc", f"{place.name}-export")


def test_paused_changes_nothing(place: Place) -> None:
    """While a resource is paused its spec has no effect, and status says so."""
    place.apply()
    place.ready()
    place.apply(paused=True, ingest={"port": 9443})
    place.reason("Ready", "Paused")
    assert place.get("service", place.name)["spec"]["ports"][0]["port"] == 9090
    place.apply(ingest={"port": 9443})
    place.ready()
    assert place.get("service", place.name)["spec"]["ports"][0]["port"] == 9443


def test_a_namespace_goes_under_a_running_operator(alone: Place) -> None:
    """The operator neither holds the namespace back nor fails over it."""
    alone.apply()
    alone.ready()
    alone.vanish()


def test_an_export_is_reported(place: Place) -> None:
    """A job of the CronJob ends well at the restricted level, and the status tells of it."""
    # On a day of the month after: of a month that ends today a part would be due.
    place.apply(export=later() | {"day": 28})
    place.ready()
    place.kubectl("create", "job", "now", f"--from=cronjob/{place.name}-export")
    place.wait("job/now", "--for=condition=Complete")
    place.reason("Exported", "NothingDue")
