"""Who was billed, by position: from the events while they are kept, from a table afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import apsw

from usage_collector import events
from usage_collector.events import Event, Outcome
from usage_collector.ledger.reader import Billed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from usage_collector.ledger.reader import Reader


def of_events(reader: Reader, first: int, last: int) -> Iterator[Billed]:
    """The identities in these positions, read from the events themselves."""
    for position, received, event in dated(reader, first, last):
        if billed := of_event(reader.ledger, position, received, event):
            yield billed


def of_event(ledger: str, position: int, received: int, event: Event) -> Billed | None:
    """Who is billed for an event; None where it is nothing that is billed."""
    if event.kind not in (Outcome.DONE, Outcome.ENDED) or event.warm_up:
        return None
    duration = None if event.implausible else event.duration
    return Billed(event.identity, ledger, position, duration, event.time or received)


def dated(reader: Reader, first: int, last: int) -> Iterator[tuple[int, int, Event]]:
    """These positions, each with when (µs) it was received and its event."""
    position = first - 1
    for block in reader.blocks(first, last):
        stop = min(block.first + block.events - 1, last)
        for raw in reader.events(max(block.first, first), stop):
            position += 1
            yield position, block.received, events.read(raw)


def kept(reader: Reader, first: int, last: int) -> Iterator[Billed]:
    """The identities in these positions, from the table for what is purged already."""
    oldest = reader.bounds()[0]
    yield from reader.purged_identities(first, min(last, oldest - 1))
    if last >= oldest:
        yield from of_events(reader, max(first, oldest), last)


def ordered(found: Iterable[Billed]) -> Iterator[Billed]:
    """Sorted by identity, ledger and position, without holding more than a little in memory."""
    # An empty name is a private file that SQLite removes by itself.
    connection = apsw.Connection("")
    try:
        connection.execute("CREATE TABLE billed(identity, ledger, position, duration, time)")
        with connection:
            connection.executemany("INSERT INTO billed VALUES (?, ?, ?, ?, ?)", found)
        rows: Iterable[Any] = connection.execute(
            "SELECT * FROM billed ORDER BY identity, ledger, position"
        )
        for row in rows:
            yield Billed(*row)
    finally:
        connection.close()
