"""What can still be read of a damaged ledger, with its positions and their place in the chain."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from usage_collector.errors import Damaged
from usage_collector.packages import MARK_EVERY, link

if TYPE_CHECKING:
    from collections.abc import Iterator

    from usage_collector.ledger.reader import Reader


def stretches(reader: Reader, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Runs of these positions, first and last, that can be read and proven by the chain.

    After a place that cannot be read a run begins behind the next mark, since the chain is not
    known in between.
    """
    position = first
    while position <= last:
        end = _readable_to(reader, position, last)
        if end >= position:
            yield position, end
        position = (end // MARK_EVERY + 1) * MARK_EVERY + 1


def _readable_to(reader: Reader, first: int, last: int) -> int:
    """The last position that can be read from there on without a break; before it if none can."""
    proven = position = first - 1
    try:
        head = reader.hash_at(position)
        for raw in reader.events(first, last):
            position += 1
            head = link(head, hashlib.sha256(raw).digest())
            if position % MARK_EVERY == 0:
                if reader.mark(position) != head:
                    return proven
                proven = position
    except Damaged:
        pass
    # Behind the last mark nothing proves the events but the checksums of their pages and blocks.
    return position
