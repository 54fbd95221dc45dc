"""Purging by age: a prefix of each ledger, in small steps, never what was not sent."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from usage_collector.errors import UsageError
from usage_collector.packages import MARK_EVERY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from usage_collector.ledger import Block, Ledgers, Status

_log = logging.getLogger(__name__)

DAY_US = 86_400_000_000
IDENTITY_DAYS = 396
"""Billing identities are kept 13 months after they were received."""


def purgeable(blocks: Iterable[Block], before: int, now: int, sent: int | None) -> int:
    """Up to which position a ledger may be purged: a multiple of 100, 0 for nothing.

    Everything up to there was received before ``before`` (µs), and is at most ``sent``, where that
    is given. What is dated after ``now`` was, while the clock was wrong; it is older than what
    comes behind it.
    """
    end = 0
    for block in blocks:
        if before <= block.received <= now or (sent is not None and block.first > sent):
            break
        if block.received < before:
            end = block.first + block.events - 1
    return (end if sent is None else min(end, sent)) // MARK_EVERY * MARK_EVERY


class Purger:
    """Purges all ledgers of a collector; `run` is called every now and then.

    ``counted`` says up to which position a ledger's usage is counted; nothing beyond it is purged.
    """

    def __init__(
        self,
        ledgers: Ledgers,
        days: int,
        *,
        hold: bool,
        counted: Callable[[str], int] | None = None,
    ) -> None:
        self._ledgers = ledgers
        self._days = days
        self._hold = hold
        self._forgot = 0
        self._counted = counted

    def run(self, now: int) -> int:
        """Purge what is due; how many events that were. ``now``: µs, from a clock to be trusted."""
        statuses = self._ledgers.all()
        if self._forgot != now // DAY_US:
            self._forgot = now // DAY_US
            for status in statuses:
                self._forget(status, now - IDENTITY_DAYS * DAY_US)
        return sum(self._ledger(status, now) for status in statuses)

    def _forget(self, status: Status, before: int) -> None:
        try:
            self._ledgers.forget(status.id, before)
        except UsageError as error:
            _log.error("ledger %s: old billing identities stay: %s", status.id, error)

    def _ledger(self, status: Status, now: int) -> int:
        try:
            sent = self._ledgers.sent_to(status.id)
            with self._ledgers.reader(status.id) as reader:
                first, last = reader.bounds()
                before = now - self._days * DAY_US
                blocks = reader.blocks(first, last)
                end = purgeable(blocks, before, now, sent if self._hold else None)
            if self._counted is not None:
                end = min(end, self._counted(status.id) // MARK_EVERY * MARK_EVERY)
            if end < first:
                return 0
            if end > sent:
                _log.warning(
                    "ledger %s: positions %d to %d are purged though they were not sent",
                    status.id,
                    max(sent + 1, first),
                    end,
                )
            self._ledgers.purge(status.id, end, sent)
        except UsageError as error:
            _log.error("ledger %s is not purged: %s", status.id, error)
            return 0
        _log.info("ledger %s: purged up to position %d", status.id, end)
        return end - first + 1
