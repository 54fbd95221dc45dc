"""Accepting events: parsed, stored durably, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usage_collector import events

if TYPE_CHECKING:
    from collections.abc import Callable

    from usage_collector.events import Outcome
    from usage_collector.ledger import Ledgers


async def accept(ledgers: Ledgers, body: bytes, count: Callable[[Outcome, bool], None]) -> None:
    """Return once every event of the body is durable; all of them are, or none is.

    ``count`` is told each event's kind, and whether it was new.

    Raises:
        InvalidInput, TooLarge: the body; nothing of it is stored.
        StorageUnavailable: try again later.
    """
    parsed = events.parse(body)
    if not parsed:
        return
    stored = await ledgers.writer.append(parsed)
    for event, new in zip(parsed, stored, strict=True):
        count(event.kind, new)
