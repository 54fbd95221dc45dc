"""Accepting events: parsed, stored durably, counted."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from usage_collector import events

if TYPE_CHECKING:
    from collections.abc import Callable

    from usage_collector.events import Event, Outcome
    from usage_collector.ledger import Ledgers


async def accept(
    ledgers: Ledgers,
    body: bytes,
    count: Callable[[Outcome, bool, int], None],
    parse: Callable[[bytes], list[Event]] = events.parse,
) -> None:
    """Return once every event of the body is durable; all of them are, or none is.

    ``count`` is told the kinds of event, whether they were new, and how many they were; ``parse``
    knows the form they are in.

    Raises:
        InvalidInput, TooLarge: the body; nothing of it is stored.
        StorageUnavailable: try again later.
    """
    parsed = parse(body)
    if not parsed:
        return
    stored = await ledgers.writer.append(parsed)
    if len(parsed) == 1:
        count(parsed[0].kind, stored[0], 1)
        return
    kinds = (event.kind for event in parsed)
    for (kind, new), number in Counter(zip(kinds, stored, strict=True)).items():
        count(kind, new, number)
