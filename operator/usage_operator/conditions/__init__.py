"""What was found → the status, with `now` passed in."""

from usage_operator.conditions.checks import REASONS
from usage_operator.conditions.facts import (
    BackupRule,
    Facts,
    Lost,
    Proxies,
    Run,
    Said,
    Trouble,
    ZoneFacts,
)
from usage_operator.conditions.judge import judge
from usage_operator.conditions.pods import ready, runs, stopping, why, young

__all__ = [
    "REASONS",
    "BackupRule",
    "Facts",
    "Lost",
    "Proxies",
    "Run",
    "Said",
    "Trouble",
    "ZoneFacts",
    "judge",
    "ready",
    "runs",
    "stopping",
    "why",
    "young",
]
