"""A run's result, for the operator and for who started it. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from usage_collector.periods import Period

MAX_SUMMARY = 2048
"""Bytes that a container's termination message is kept short to."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to; ``result`` is exported, incomplete, nothing-due or failed.

    ``failed`` says what each destination that did not get it said. ``exported_to`` is the last
    period up to which no collector owes any, None where that is unknown or there is none.
    """

    result: str
    period: str | None = None
    revision: int | None = None
    files: int = 0
    events: int = 0
    hours: float = 0.0
    gaps: Sequence[str] = ()
    delivered: Sequence[str] = ()
    failed: Sequence[str] = ()
    error: str | None = None
    exported_to: Period | None = None

    @property
    def ok(self) -> bool:
        """Whether there is nothing that anybody has to look at."""
        return self.result in ("exported", "nothing-due")


def as_json(outcome: Outcome, ended: str, upcoming: tuple[str, str] | None) -> dict[str, object]:
    """The run's result; ``upcoming`` is the next period and when it is due."""
    return {
        "result": outcome.result,
        "period": outcome.period,
        "time": ended,
        "files": outcome.files,
        "events": outcome.events,
        "hours": outcome.hours,
        "gaps": list(outcome.gaps),
        "delivered": list(outcome.delivered),
        "failed": list(outcome.failed),
        "next": {"period": upcoming[0], "time": upcoming[1]} if upcoming else None,
        "error": outcome.error,
    }


def short(facts: dict[str, object]) -> bytes:
    """The same as JSON of at most `MAX_SUMMARY` bytes: long lists and texts are cut, and say so."""
    for keep, length in ((20, 200), (8, 120), (3, 80), (1, 40), (0, 20)):
        text = json.dumps(_cut(facts, keep, length), ensure_ascii=False).encode()
        if len(text) <= MAX_SUMMARY:
            break
    return text


def _cut(facts: dict[str, object], keep: int, length: int) -> dict[str, object]:
    short_facts: dict[str, object] = {}
    for name, value in facts.items():
        if isinstance(value, list):
            kept = [str(one)[:length] for one in value[:keep]]
            more = len(value) - len(kept)
            short_facts[name] = [*kept, f"and {more} more"] if more else kept
        else:
            short_facts[name] = value[: length * 4] if isinstance(value, str) else value
    return short_facts
