"""Purging by age: a prefix of each ledger, in small steps, never what was not sent."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from usage_collector.errors import UsageError
from usage_collector.packages import MARK_EVERY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from usage_collector.ledger import Block, Ledgers, Status

_log = logging.getLogger(__name__)

DAY_US = 86_400_000_000
STEADY_SECONDS = 3600.0
"""How long the clock must have run evenly before anything is purged."""
_JUMP_US = 60_000_000
IDENTITY_DAYS = 396
"""Billing identities are kept 13 months."""


@dataclass(slots=True)
class Clock:
    """Notices when the wall clock (µs) jumps against one that only runs (s). Pure."""

    wall: int
    steady: float
    since: float

    def is_steady(self, wall: int, steady: float) -> bool:
        """Whether the two have run together for long enough; to be asked again and again."""
        drift = (wall - self.wall) - (steady - self.steady) * 1e6
        if abs(drift) > _JUMP_US:
            _log.warning("the clock jumped by %.0f s; nothing is purged for now", drift / 1e6)
            self.since = steady
        self.wall, self.steady = wall, steady
        return steady - self.since >= STEADY_SECONDS


def purgeable(blocks: Iterable[Block], before: int, sent: int | None) -> int:
    """Up to which position a ledger may be purged: a multiple of 100, 0 for nothing.

    Everything up to there was received before ``before`` (µs), and is at most ``sent``, where that
    is given.
    """
    end = 0
    for block in blocks:
        if block.received >= before:
            break
        end = block.first + block.events - 1
        if sent is not None and end >= sent:
            end = sent
            break
    return end // MARK_EVERY * MARK_EVERY


class Purger:
    """Purges all ledgers of a collector; `run` is called every now and then."""

    def __init__(
        self, ledgers: Ledgers, days: int, *, hold: bool, now: Callable[[], int], steady: float
    ) -> None:
        self._ledgers = ledgers
        self._days = days
        self._hold = hold
        self._now = now
        self._clock = Clock(now(), steady, steady)

    def run(self, steady: float) -> int:
        """Purge what is due; how many events that were. ``steady``: a monotonic clock, s."""
        now = self._now()
        if not self._clock.is_steady(now, steady):
            return 0
        return sum(self._ledger(status, now) for status in self._ledgers.all())

    def _ledger(self, status: Status, now: int) -> int:
        try:
            sent = self._ledgers.sent_to(status.id)
            with self._ledgers.reader(status.id) as reader:
                first, last = reader.bounds()
                before = now - self._days * DAY_US
                blocks = reader.blocks(first, last)
                end = purgeable(blocks, before, sent if self._hold else None)
            if end < first:
                return 0
            if end > sent:
                _log.warning(
                    "ledger %s: positions %d to %d are purged though they were not sent",
                    status.id,
                    max(sent + 1, first),
                    end,
                )
            self._ledgers.purge(status.id, end, sent, now - IDENTITY_DAYS * DAY_US)
        except UsageError as error:
            _log.error("ledger %s is not purged: %s", status.id, error)
            return 0
        _log.info("ledger %s: purged up to position %d", status.id, end)
        return end - first + 1
