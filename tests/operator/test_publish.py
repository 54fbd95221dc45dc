"""What a person is told of as an Event."""

from __future__ import annotations

import pytest

from usage_operator.reconcile.publish import news
from usage_operator.spec.status import Condition


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
