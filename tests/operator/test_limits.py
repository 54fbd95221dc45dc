"""Plans, quotas and alerts: the objects that bring them to the collectors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.operator.support import context, golden
from tests.operator.test_spec import problems
from usage_operator.manifests import limits, network
from usage_operator.manifests import statefulset as sts

HOOK = {"url": "https://alerts.example.org/usage", "secretName": "alerts", "caKey": "ca.crt"}
LIMITS: dict[str, Any] = {
    "requests": {"getsPerSecond": 50, "postsPerSecond": 10},
    "plans": [{"name": "startup", "monthlyHours": 100, "concurrentSessions": 5}],
    "quotas": [{"customer": "acme", "plan": "startup", "monthlyHours": 120.5}],
    "alerts": {
        "thresholds": [50, 100],
        "webhooks": [{"url": "http://ours:8080/alerts", "insecure": True}, HOOK],
    },
}


def test_golden() -> None:
    """The file, and how pods get it and the webhooks' Secrets, are as they were reviewed."""
    where = context(limits=LIMITS)
    made = sts.build(where, where.spec.zones[0], 1)["spec"]["template"]["spec"]
    (container,) = made["containers"]
    ours = ("limits", "alerts")
    golden(
        "limits",
        [
            *limits.build(where),
            [one for one in made["volumes"] if one["name"] in ours],
            [one for one in container["volumeMounts"] if one["name"] in ours],
            [one for one in container["env"] if one["name"] == "USAGE_LIMITS_FILE"],
            network.build(where)[0]["spec"]["egress"],
        ],
    )


def test_without_limits_pods_stay_as_they_are() -> None:
    """An upgrade of the operator restarts nobody who asked for none."""
    where = context(limits={"alerts": {"thresholds": [80, 100]}})
    assert limits.build(where) == []
    plain = context()
    zone = plain.spec.zones[0]
    assert sts.build(where, zone, 1) == sts.build(plain, zone, 1)


def test_another_quota_restarts_nobody() -> None:
    """Collectors read the file again; only what is mounted is part of a pod."""
    changed = LIMITS | {"quotas": [], "requests": {}}
    one, other = context(limits=LIMITS), context(limits=changed)
    zone = one.spec.zones[0]
    assert sts.build(one, zone, 1) == sts.build(other, zone, 1)
    said = [json.loads(limits.build(each)[0]["data"]["limits.json"]) for each in (one, other)]
    assert said[0]["quotas"]
    assert not said[1]["quotas"]


@pytest.mark.parametrize(
    ("fields", "place", "remedy"),
    [
        ({"plans": [{"name": "a"}, {"name": "a"}]}, "spec.limits.plans[1]", "once"),
        ({"quotas": [{"customer": "a"}, {"customer": "a"}]}, "spec.limits.quotas[1]", "once"),
        ({"quotas": [{"customer": "a", "plan": "x"}]}, "spec.limits.quotas[0].plan", "free"),
        ({"plans": [{"name": "a", "monthlyHours": -1}]}, "plans[0].monthlyHours", "equal to 0"),
        ({"alerts": {"thresholds": []}}, "spec.limits.alerts.thresholds", "at least 1"),
        ({"alerts": {"webhooks": [{"url": "ftp://x"}]}}, "webhooks[0].url", "pattern"),
        ({"alerts": {"webhooks": [{"url": "http://x"}]}}, "webhooks[0].url", "use https"),
        ({"alerts": {"webhooks": [{"url": "https://x:99999/"}]}}, "webhooks[0].url", "HOST:PORT"),
        ({"alerts": {"webhooks": [{"url": "https://[::1/"}]}}, "webhooks[0].url", "HOST:PORT"),
        ({"alerts": {"webhooks": [{"url": "https:///x"}]}}, "webhooks[0].url", "HOST:PORT"),
        ({"alerts": {"webhooks": [HOOK, HOOK]}}, "spec.limits.alerts.webhooks[1]", "once"),
        (
            {"alerts": {"webhooks": [{"url": "https://x", "caKey": "a"}]}},
            "spec.limits.alerts.webhooks[0]",
            "name it",
        ),
    ],
)
def test_a_problem_names_field_and_remedy(fields: dict[str, Any], place: str, remedy: str) -> None:
    """Each refusal says where it is and what to do."""
    (problem,) = problems(limits=fields)
    assert place in problem
    assert remedy in problem
