"""The simulator's own count of what was acknowledged, independent of how collectors count."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from usage_collector.simulate.field import Told

_HOUR = 3600 * 1_000_000


@dataclass(slots=True)
class Tally:
    """Adds up acknowledged events; ``record`` gets one JSON line for each."""

    record: IO[str] | None = None
    events: int = 0
    posts: int = 0
    refused: int = 0
    lost: int = 0
    retries: int = 0
    seen: set[str] = field(default_factory=set)
    jobs: int = 0
    sessions: int = 0
    job_time: int = 0
    session_time: int = 0
    warm_ups: int = 0
    running: dict[str, int] = field(default_factory=dict)

    def acknowledged(self, batch: Iterable[Told]) -> None:
        """Counts one post that was answered 201."""
        self.posts += 1
        for told in batch:
            self.events += 1
            self._count(told)
            if self.record:
                line = {
                    "sha256": hashlib.sha256(told.raw).hexdigest(),
                    "event": told.kind,
                    "session": told.session,
                    "seconds": told.duration / 1_000_000,
                    "warm_up": told.warm_up,
                }
                self.record.write(json.dumps(line) + "\n")
        if self.record:
            self.record.flush()

    def _count(self, told: Told) -> None:
        if told.kind == "SESSION_STATUS":
            if told.session not in self.seen:
                before = self.running.get(told.session, 0)
                self.running[told.session] = max(before, told.duration)
            return
        if told.session in self.seen:
            return
        self.seen.add(told.session)
        self.running.pop(told.session, None)
        if told.warm_up:
            self.warm_ups += 1
        elif told.kind == "TRANSCRIBER_DONE":
            self.jobs += 1
            self.job_time += told.duration
        else:
            self.sessions += 1
            self.session_time += told.duration

    def as_json(self) -> dict[str, object]:
        """The summary: counts and hours, of the sessions without an end apart."""
        return {
            "ok": not (self.lost or self.refused),
            "events": self.events,
            "posts": self.posts,
            "retries": self.retries,
            "refused": self.refused,
            "lost": self.lost,
            "jobs": self.jobs,
            "job_hours": self.job_time / _HOUR,
            "sessions": self.sessions,
            "session_hours": self.session_time / _HOUR,
            "seconds": (self.job_time + self.session_time) / 1_000_000,
            "warm_ups": self.warm_ups,
            "unended": len(self.running),
            "unended_hours": sum(self.running.values()) / _HOUR,
        }
