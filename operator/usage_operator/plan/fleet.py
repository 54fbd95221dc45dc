"""Which collectors run: those of the spec, and those that left it but may hold what was not billed.

A collector that leaves the spec is never removed by itself. It goes when the resource's annotation
``usage-operator.io/discard`` names its zone (``eu-1b``) or, for one replica, zone and ordinal
(``eu-1b/1``); several are separated by commas. Its volume stays in any case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from usage_operator import naming

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from usage_operator.plan.objects import Object


@dataclass(frozen=True, slots=True)
class Fleet:
    """The collectors by zone: how many run, how many of them are leaving."""

    running: Mapping[str, int]
    leaving: Mapping[str, int]
    idle_discards: tuple[str, ...]
    """What the annotation names although it is in the spec: a trap for the next removal."""


def discards(annotations: Mapping[str, str]) -> frozenset[str]:
    """Read the annotation."""
    words = annotations.get(naming.DISCARD, "").split(",")
    return frozenset(word.strip() for word in words if word.strip())


def existing(statefulsets: Iterable[Object], pods: Iterable[Object]) -> dict[str, int]:
    """Count each zone's collectors, by its StatefulSet or, where that is gone, by its pods.

    The StatefulSet is gone for a moment while volumes grow; its pods run on.
    """
    counts: dict[str, int] = {}
    for pod in pods:
        zone = pod["metadata"]["labels"].get(naming.ZONE)
        ordinal = pod["metadata"]["name"].rpartition("-")[2]
        if zone and ordinal.isdigit() and not pod["metadata"].get("deletionTimestamp"):
            counts[zone] = max(counts.get(zone, 0), int(ordinal) + 1)
    for one in statefulsets:
        zone = (one["metadata"].get("labels") or {}).get(naming.ZONE)
        if zone:
            counts[zone] = one["spec"].get("replicas", 1)
    return counts


def _kept(zone: str, wanted: int, running: int, gone: frozenset[str]) -> int:
    """Count what goes on running: only the last replica of a StatefulSet can leave it."""
    while running > wanted and not gone.isdisjoint({zone, f"{zone}/{running - 1}"}):
        running -= 1
    return max(running, wanted)


def muster(
    wanted: Mapping[str, int], running: Mapping[str, int], annotations: Mapping[str, str]
) -> Fleet:
    """Decide what runs; zones of the spec come first, in its order."""
    gone = discards(annotations)
    kept = {zone: _kept(zone, count, running.get(zone, 0), gone) for zone, count in wanted.items()}
    kept |= {
        zone: count
        for zone, count in sorted(running.items())
        if zone not in wanted and _kept(zone, 0, count, gone)
    }
    leaving = {
        zone: count - wanted.get(zone, 0)
        for zone, count in kept.items()
        if count > wanted.get(zone, 0)
    }
    live = set(wanted) | {
        f"{zone}/{ordinal}" for zone, count in wanted.items() for ordinal in range(count)
    }
    return Fleet(kept, leaving, tuple(sorted(gone & live)))
