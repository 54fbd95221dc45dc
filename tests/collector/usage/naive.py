"""Usage counted as plainly as can be, over all events at once: what the index must come to."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING

from usage_collector import events
from usage_collector.sessions import HOUR, Place, Use, resolve, use
from usage_collector.usage.asking import text
from usage_collector.usage.crowding import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY = 24 * HOUR
Received = tuple[str, int, bytes]
"""A collector, when it received an event (µs), and the event's bytes."""
Answer = dict[tuple[str, ...], tuple[int, int]]


def usage(received: Iterable[Received], now: int, names: tuple[str, ...]) -> Answer:
    """Count and µs by these groups, of all days."""
    sessions: dict[bytes, list[Use]] = defaultdict(list)
    known: dict[bytes, tuple[int, dict[Place, dict[str, str]]]] = {}
    for position, (collector, at, raw) in enumerate(received, 1):
        event = events.read(raw)
        place = Place(collector, f"ledger-of-{collector}", position)
        said = use(event, place, f"zone-of-{collector}")
        if said is None or not said.counts:
            continue
        first, told = known.get(said.identity, (2**62, {}))
        first = min(first, at) if said.time is None else first
        known[said.identity] = (first, {**told, place: _told(raw)})
        sessions[said.identity].append(said)
    table: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0])
    for identity, uses in sessions.items():
        session = resolve(uses, now)
        if session is None or session.warm_up:
            continue
        first, told = known[identity]
        day = text((first if session.time is None else session.time) // DAY)
        values = {"day": day, "month": day[:7], **told[session.best.place]}
        key = tuple(_value(name, values, session.best) for name in names)
        table[key][0] += 1
        table[key][1] += session.duration
    return {key: (count, duration) for key, (count, duration) in table.items()}


def _told(raw: bytes) -> dict[str, str]:
    """What only the event itself says: its contract and dimensions."""
    value = json.loads(raw)
    dimensions = value.get("dimensions") or {}
    named = {f"dimension:{name}": text for name, text in dimensions.items()}
    return {"contract": value.get("contract_id") or "", **named}


def _value(name: str, values: dict[str, str], best: Use) -> str:
    absent = NOTHING if name.startswith("dimension:") else getattr(best, name, "")
    return values.get(name, str(absent))
