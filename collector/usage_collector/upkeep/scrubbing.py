"""Reading everything again in the background, so that damage is found before somebody needs it."""

from __future__ import annotations

import hashlib
import logging
from itertools import islice
from typing import TYPE_CHECKING

from usage_collector.errors import Damaged, NotFound, UsageError
from usage_collector.packages import MARK_EVERY, link

if TYPE_CHECKING:
    from collections.abc import Iterator

    from usage_collector.ledger import Ledgers, Reader

_log = logging.getLogger(__name__)

STEP = 5 * MARK_EVERY
"""Events read at a time: some 5 ms of work between two rests."""
_IDS = 4096


def scrub(ledgers: Ledgers) -> Iterator[int]:
    """Recompute the chains of all ledgers and read their indexes, a step with each iteration.

    Gives the number of events that a step found to be as they were stored. Damage sets its ledger
    aside and is told like any other; one that is known as damaged is left alone.
    """
    for status in ledgers.all():
        if status.damaged or not status.readable:
            continue
        try:
            with ledgers.reader(status.id) as reader:
                yield from _events(reader)
                yield from _index(reader)
        except _Altered as error:
            ledgers.distrust(status.id, error.detail)
        except UsageError as error:
            # The reader that met damage told of it already.
            _log.error("a background check ended early: %s", error)


class _Altered(Damaged):
    """Events can be read, but are not those that the chain was made of."""


def _events(reader: Reader) -> Iterator[int]:
    first, last = reader.bounds()
    while first <= last:
        end = min((first - 1) // MARK_EVERY * MARK_EVERY + STEP, last)
        try:
            _follow(reader, first, end)
        except NotFound:
            # Purged meanwhile.
            first = reader.bounds()[0]
            continue
        yield end - first + 1
        first = end + 1


def _follow(reader: Reader, first: int, last: int) -> None:
    head = reader.hash_at(first - 1)
    for position, raw in enumerate(reader.events(first, last), first):
        head = link(head, hashlib.sha256(raw).digest())
        if position % MARK_EVERY == 0 and reader.mark(position) != head:
            raise _Altered(
                f"ledger {reader.ledger}: events were altered up to {MARK_EVERY} before position "
                f"{position}",
                "see usage-collector check; restore a backup",
            )


def _index(reader: Reader) -> Iterator[int]:
    rows = reader.filed(None, None)
    while any(True for _ in islice(rows, _IDS)):
        yield 0
