"""What a person is told of as an Event."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
from prometheus_client import REGISTRY

from tests.operator.support import NOW
from usage_operator.conditions import BackupRule, Facts, Run
from usage_operator.reconcile.publish import forget, news, publish
from usage_operator.spec.status import Condition

if TYPE_CHECKING:
    from usage_operator.kube import Client


def condition(kind: str, status: str, reason: str) -> Condition:
    """Give a condition."""
    return Condition.model_validate(
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "observedGeneration": 1,
            "lastTransitionTime": "2026-11-05T12:00:00Z",
            "message": "x",
        }
    )


@pytest.mark.parametrize(
    ("kind", "before", "after", "told"),
    [
        ("Ready", None, ("False", "Applying"), False),
        ("Ready", None, ("False", "SecretMissing"), True),
        ("Ready", ("False", "PodsNotReady"), ("True", "Serving"), True),
        ("Ready", ("True", "Serving"), ("True", "Serving"), False),
        ("Ready", ("True", "Serving"), ("False", "RollingOut"), False),
        ("Ready", ("True", "Serving"), ("False", "PodsNotReady"), True),
        ("Ready", ("False", "RollingOut"), ("False", "PodsNotReady"), False),
        ("Ready", ("False", "RollingOut"), ("False", "NameTaken"), True),
        ("Ready", ("False", "NameTaken"), ("False", "NameTaken"), False),
        ("Ready", ("True", "Serving"), ("True", "Paused"), False),
        ("Degraded", None, ("False", "AsExpected"), False),
        ("Degraded", None, ("True", "ZonesNotReady"), True),
        ("Degraded", ("True", "ZonesNotReady"), ("True", "DiscardInUse"), True),
        ("Exported", ("Unknown", "NotYet"), ("True", "Exported"), True),
        ("Progressing", None, ("True", "Waiting"), False),
    ],
)
def test_news_is_what_changed_and_does_not_pass(
    kind: str, before: tuple[str, str] | None, after: tuple[str, str], told: bool
) -> None:
    """A change of status is told, and a new reason for the worse; steps on the way are not."""
    there = [{"type": kind, "status": before[0], "reason": before[1]}] if before else []
    found = news([condition(kind, *after)], {"conditions": there})
    assert bool(found) is told


class Taken:
    """Stands for an API server that takes everything."""

    async def apply(self, _: object, **__: object) -> None:
        """Take a status."""

    async def create(self, _: object) -> None:
        """Take an Event."""


async def test_a_condition_that_is_gone_is_measured_no_more() -> None:
    """A restore that nobody asks for any more must not alarm for ever."""
    document = {"metadata": {"namespace": "metering", "name": "gone", "uid": "u"}}
    facts = Facts(generation=1, now=NOW, restore_troubles=("no such zone",))

    def measured() -> float | None:
        labels = {"namespace": "metering", "name": "gone", "type": "Restored", "status": "False"}
        return REGISTRY.get_sample_value("usage_operator_resource_condition", labels)

    await publish(cast("Client", Taken()), document, facts)
    assert measured() == 1
    await publish(cast("Client", Taken()), document, replace(facts, restore_troubles=()))
    assert measured() is None
    forget("metering", "gone")


async def test_the_age_of_backups_is_measured() -> None:
    """When the oldest was taken and proven, and whether that is too long ago."""
    document = {"metadata": {"namespace": "metering", "name": "aged", "uid": "u"}}
    time = "2026-11-01T02:17:00Z"
    said = {"result": "backed-up", "time": time, "events": 1, "bytes": 1}
    taken = Run("job-1", time, "complete", said, None, "a")
    facts = Facts(
        generation=1,
        now=NOW,
        backups=(taken,),
        backed_zones=("a",),
        backup_rule=BackupRule("@daily", "Etc/UTC", 7, {"a": NOW}),
    )

    def measured(what: str) -> float | None:
        labels = {"namespace": "metering", "name": "aged"}
        return REGISTRY.get_sample_value(f"usage_operator_resource_backup_{what}", labels)

    await publish(cast("Client", Taken()), document, facts)
    assert measured("timestamp_seconds") == 1793499420
    assert (measured("overdue"), measured("proof_overdue")) == (1, 0)
    assert measured("proof_timestamp_seconds") is None
    forget("metering", "aged")
    assert measured("overdue") is None
