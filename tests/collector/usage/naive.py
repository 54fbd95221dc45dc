"""Usage counted as plainly as can be, over all events at once: what the index must come to."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from usage_collector import events
from usage_collector.sessions import HOUR, Place, Use, resolve, use
from usage_collector.usage.asking import text

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY = 24 * HOUR
Received = tuple[str, int, bytes]
"""A collector, when it received an event (µs), and the event's bytes."""
Answer = dict[tuple[str, ...], tuple[int, int]]


def usage(received: Iterable[Received], now: int, names: tuple[str, ...]) -> Answer:
    """Count and µs by these groups, of all days."""
    sessions: dict[bytes, list[Use]] = defaultdict(list)
    known: dict[bytes, tuple[int, dict[Place, str]]] = {}
    for position, (collector, at, raw) in enumerate(received, 1):
        event = events.read(raw)
        place = Place(collector, f"ledger-of-{collector}", position)
        said = use(event, place, f"zone-of-{collector}")
        if said is None or not said.counts:
            continue
        first, contracts = known.get(said.identity, (2**62, {}))
        first = min(first, at) if said.time is None else first
        known[said.identity] = (first, {**contracts, place: event.contract})
        sessions[said.identity].append(said)
    table: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0])
    for identity, uses in sessions.items():
        session = resolve(uses, now)
        if session is None or session.warm_up:
            continue
        first, contracts = known[identity]
        day = text((first if session.time is None else session.time) // DAY)
        values = {"day": day, "month": day[:7], "contract": contracts[session.best.place]}
        key = tuple(str(values.get(name, getattr(session.best, name, ""))) for name in names)
        table[key][0] += 1
        table[key][1] += session.duration
    return {key: (count, duration) for key, (count, duration) in table.items()}
