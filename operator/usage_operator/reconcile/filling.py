"""How full volumes are, and when they will be: by what collectors said at each resync."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from usage_operator.conditions import ZoneFacts

WARN = 80
"""From this percentage on a volume is told of."""
_SPAN = dt.timedelta(days=7)
_LEAST = dt.timedelta(hours=1)
"""A shorter time says nothing of growth."""
_FARTHEST = dt.timedelta(days=3650)

Sample = tuple[dt.datetime, float]


def forecast(samples: Iterable[Sample], capacity: float) -> dt.date | None:
    """Tell on which day a volume is full if it grows on as in the samples; None: no telling.

    ``samples`` are times and bytes used, oldest first. Linear between the first and the last.
    """
    known = list(samples)
    if len(known) < 2:
        return None
    (begin, before), (end, after) = known[0], known[-1]
    if end - begin < _LEAST or after <= before:
        return None
    left = (capacity - after) / ((after - before) / (end - begin).total_seconds())
    return (end + dt.timedelta(seconds=left)).date() if left < _FARTHEST.total_seconds() else None


class History:
    """What was used of the fullest volume of each zone, for a week back."""

    def __init__(self) -> None:
        self._samples: dict[tuple[str, str, str], list[Sample]] = {}

    def forget(self, namespace: str, name: str) -> None:
        """Drop what is known of a resource."""
        for key in [one for one in self._samples if one[:2] == (namespace, name)]:
            del self._samples[key]

    def full_on(
        self, key: tuple[str, str, str], now: dt.datetime, used: float, capacity: float
    ) -> dt.date | None:
        """Add what is used now; tell on which day the volume is full.

        ``key`` is namespace, name and zone. A volume that was emptied, or changed, begins anew.
        """
        samples = self._samples.setdefault(key, [])
        if samples and used < samples[-1][1] * 0.9:
            samples.clear()
        samples.append((now, used))
        samples[:] = [one for one in samples if now - one[0] <= _SPAN]
        return forecast(samples, capacity)


def tell(zones: Iterable[ZoneFacts], before: Mapping[str, Any]) -> tuple[str, ...]:
    """Say which zones' volumes are nearly full; ``before`` is the status, for those not asked."""
    old = {one["name"]: one.get("storage") or {} for one in before.get("zones") or []}
    found = []
    for zone in zones:
        said = zone.said
        stored = old.get(zone.name, {})
        used = (said and said.used) or stored.get("used")
        capacity = (said and said.capacity) or stored.get("capacity")
        day = said.full_on if said and said.used else stored.get("fullOn")
        if used and float(str(used).rstrip("%")) > WARN:
            text = f"zone {zone.name}: a volume of {capacity} is {used} full"
            found.append(text + (f", and wholly on about {day}" if day else ""))
    return tuple(found)
