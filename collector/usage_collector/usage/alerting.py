"""Alerts at thresholds of quotas, each sent once by one collector of the fleet.

The one with the lowest name sends. Another takes its place only after it was away for so long that
a restart is not the reason: it knows what it sent last, and the others may not. An alert can come
twice only where nobody knows whether it was taken, and then under the same key.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from usage_collector.errors import TooMany, UsageError
from usage_collector.periods import Period, moment, rfc3339
from usage_collector.sessions import SECOND
from usage_collector.usage.limits import is_reached
from usage_collector.usage.told import Alert, Waiting, target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from usage_collector.targets.hook import Hook
    from usage_collector.usage.exchange import Known
    from usage_collector.usage.policy import Policy, PolicyFile
    from usage_collector.usage.told import Book, What

_log = logging.getLogger(__name__)

TAKEOVER = 600 * SECOND
"""After so long (µs) without an answer another collector sends in its place."""
FIRST_PAUSE, LONGEST_PAUSE = 5 * SECOND, 900 * SECOND
"""Between attempts at one target (µs): doubled from one to the next."""
WHATS: tuple[What, ...] = ("monthly_hours", "concurrent_sessions")
_USED = {"monthly_hours": "used_hrs", "concurrent_sessions": "sessions"}
_QUOTA = {"monthly_hours": "quota_hrs", "concurrent_sessions": "quota_sessions"}
"""The members of a line that say them."""
Line = Mapping[str, Any]


def due(lines: Iterable[Line], parts: Sequence[float]) -> list[tuple[Alert, Line]]:
    """The parts of quotas that these lines of `quotas.lines` have reached, each with its line."""
    return [
        (Alert(line["customer"], line["month"], what, part, float(quota)), line)
        for line in lines
        for what in WHATS
        if (quota := line[_QUOTA[what]]) is not None
        for part in parts
        if is_reached(line[_USED[what]], quota, part)
    ]


def is_news(alert: Alert, parts: Sequence[float]) -> bool:
    """Whether an alert says more than the others that are due with it.

    Parts of a quota of nothing are all reached at once: that it was exceeded says it all.
    """
    exceeded = min((part for part in parts if part >= 1), default=max(parts))
    return alert.quota > 0 or alert.threshold == exceeded


def responsible(own: str, others: Iterable[Known], now: int, began: int) -> bool:
    """Whether the collector of that name, which runs since ``began`` (µs), sends alerts."""
    for other in others:
        if now - max(other.heard or 0, began) > TAKEOVER:
            continue
        # While the name of one that should be there is not known, it may be the one.
        if not other.collector or other.collector < own:
            return False
    return True


def key(name: str, alert: Alert) -> str:
    """The same for the same alert of the fleet of that name, whoever sends it."""
    return hashlib.sha256(msgspec.json.encode((name, alert))).hexdigest()[:32]


def body(policy: Policy, alert: Alert, line: Line, **more: object) -> str:
    """What is sent, as JSON."""
    said = {
        "id": key(policy.name, alert),
        "type": "quota",
        "fleet": policy.name,
        "customer": alert.customer,
        "name": line["name"],
        "plan": line["plan"],
        "month": alert.month,
        "what": alert.what,
        "threshold": alert.threshold,
        "quota": alert.quota,
        "used": line[_USED[alert.what]],
        "forecast": line["forecast"] if alert.what == "monthly_hours" else None,
        **more,
    }
    return msgspec.json.encode(said).decode()


class Alerting:
    """Notes what is due and sends it; `run` is called again and again, by one thread at a time."""

    def __init__(
        self, book: Book, limits: PolicyFile, collector: str, now: Callable[[], int]
    ) -> None:
        self.book = book
        self._limits = limits
        self._collector = collector
        self._now = now
        self._failures: dict[str, int] = {}
        self._until: dict[str, int] = {}
        self._tried: dict[tuple[Alert, str], int] = {}
        self._stopped = False

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopped = True

    def run(self, lines: Iterable[Line], lacking: Sequence[str]) -> None:
        """Send what these lines have reached; the usage of ``lacking`` is not all in them."""
        policy, now = self._limits.policy, self._now()
        hooks = {target(url): hook for url, hook in self._limits.hooks.items()}
        month = Period.of(moment(now))
        self.book.forget(str(month.previous), hooks)
        more = {"partial": list(lacking), "time": rfc3339(now), "collector": self._collector}
        new = [
            Waiting(alert, where, body(policy, alert, line, **more))
            for alert, line in due(lines, policy.parts)
            if is_news(alert, policy.parts)
            for where in hooks
            if (alert, where) not in self.book.told and (alert, where) not in self.book.waiting
        ]
        if new:
            self.book.wait(new)
        for where, hook in hooks.items():
            self._send(where, hook, policy.name)

    def _send(self, where: str, hook: Hook, name: str) -> None:
        """Send until one is refused; what was tried least goes first, so that none holds others."""
        if self._now() < self._until.get(where, 0):
            return
        waiting = [one for one in self.book.waiting.values() if one.target == where]
        for one in sorted(waiting, key=lambda one: self._tried.get((one.alert, where), 0)):
            if self._stopped:
                return
            self._tried[one.alert, where] = self._tried.get((one.alert, where), 0) + 1
            try:
                hook.send(key(name, one.alert), one.body.encode())
            except UsageError as error:
                self._pause(where, error)
                return
            self.book.sent(one, self._now())
            self._failures.pop(where, None)
            del self._tried[one.alert, where]

    def _pause(self, where: str, error: UsageError) -> None:
        failures = self._failures[where] = self._failures.get(where, 0) + 1
        pause = min(FIRST_PAUSE << min(failures - 1, 20), LONGEST_PAUSE)
        if isinstance(error, TooMany):
            pause = max(pause, round(error.seconds * SECOND))
        self._until[where] = self._now() + pause
        _log.error("alerts wait: %s; tried again in %d s", error, pause // SECOND)
