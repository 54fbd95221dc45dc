"""Which collectors run: those of the spec, and those that left it but may hold what was not billed.

A collector that leaves the spec is never removed by itself. It goes when the resource's annotation
``usage-operator.io/discard`` names its zone (``eu-1b``) or, for one replica, zone and ordinal
(``eu-1b/1``); several are separated by commas. Its volume stays in any case, marked as discarded.

Volumes are what counts: one that is bound and not marked may hold what was not billed, whatever
became of the StatefulSet that used it. One that was never bound holds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from usage_operator import naming
from usage_operator.plan.objects import mark

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


def place(thing: Object) -> tuple[str, int] | None:
    """Give zone and ordinal of a collector's pod or claim; None: it is not one."""
    zone = (thing["metadata"].get("labels") or {}).get(naming.ZONE)
    ordinal = thing["metadata"]["name"].rpartition("-")[2]
    return (zone, int(ordinal)) if zone and ordinal.isdigit() else None


def never_bound(claim: Object) -> bool:
    """Tell whether a claim never had a volume."""
    pending = (claim.get("status") or {}).get("phase") == "Pending"
    return pending and not claim["spec"].get("volumeName")


def empty(claims: Iterable[Object]) -> frozenset[str]:
    """Name the collectors that never had a volume, as the annotation does."""
    places = [place(claim) for claim in claims if never_bound(claim)]
    return frozenset(f"{found[0]}/{found[1]}" for found in places if found)


def existing(
    statefulsets: Iterable[Object], pods: Iterable[Object], claims: Iterable[Object]
) -> dict[str, int]:
    """Count each zone's collectors, by its StatefulSet or else by its pods, and by its volumes.

    The StatefulSet is gone for a moment while volumes grow; its pods run on.
    """
    counts: dict[str, int] = {}

    def count(things: Iterable[Object]) -> None:
        for thing in things:
            found = place(thing)
            if found and not thing["metadata"].get("deletionTimestamp"):
                counts[found[0]] = max(counts.get(found[0], 0), found[1] + 1)

    count(pods)
    for one in statefulsets:
        zone = (one["metadata"].get("labels") or {}).get(naming.ZONE)
        if zone:
            counts[zone] = one["spec"].get("replicas", 1)
    count(
        claim
        for claim in claims
        if not never_bound(claim) and mark(claim, naming.DISCARDED) is None
    )
    return counts


def _kept(zone: str, wanted: int, running: int, gone: frozenset[str]) -> int:
    """Count what goes on running: only the last replica of a StatefulSet can leave it."""
    while running > wanted and not gone.isdisjoint({zone, f"{zone}/{running - 1}"}):
        running -= 1
    return max(running, wanted)


def muster(
    wanted: Mapping[str, int],
    running: Mapping[str, int],
    annotations: Mapping[str, str],
    empty: frozenset[str] = frozenset(),
) -> Fleet:
    """Decide what runs; zones of the spec come first, in its order. ``empty`` need not be kept."""
    named = discards(annotations)
    gone = named | empty
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
    return Fleet(kept, leaving, tuple(sorted(named & live)))
