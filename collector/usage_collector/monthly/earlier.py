"""What earlier periods counted, read from collectors' answers, in the order of identities."""

from __future__ import annotations

import heapq
from itertools import groupby
from typing import TYPE_CHECKING

import msgspec

from usage_collector.errors import PeerUnavailable
from usage_collector.peers import Counted
from usage_collector.periods import microseconds
from usage_collector.sessions import SECOND
from usage_collector.totals.month import Earlier

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from usage_collector.packages.manifest import Manifest
    from usage_collector.sessions import Use
    from usage_collector.totals.month import Line

_decode = msgspec.json.Decoder(Counted).decode


def read(path: Path, period: str, collector: str) -> Iterator[Earlier]:
    """The lines of one answer, as they come; `PeerUnavailable` for one that is no answer."""
    before = b""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                counted = _decode(line)
                identity = bytes.fromhex(counted.id)
            except (msgspec.MsgspecError, ValueError) as error:
                raise PeerUnavailable(
                    f"{collector}, sessions of {period}, line {number}: {error}"
                ) from None
            if identity < before:
                raise PeerUnavailable(f"{collector}, sessions of {period}: they are not sorted")
            before = identity
            yield Earlier(
                identity=identity,
                period=period,
                collector=collector,
                ledger=counted.ledger,
                position=counted.position,
                duration=round(counted.duration * SECOND),
                time=microseconds(counted.time) if counted.time else None,
            )


def estimates(manifest: Manifest) -> list[Earlier]:
    """The sessions that an earlier manifest counted by estimate, in the order of identities.

    Also those whose earlier estimate it corrected: the next correction begins where it ended.
    """
    found = [_estimate(manifest, line, line.get("seconds")) for line in manifest.lines("estimates")]
    found += [
        _estimate(manifest, line, line.get("actual_seconds"))
        for line in manifest.lines("corrections")
    ]
    return sorted(found, key=lambda one: one.identity)


def _estimate(manifest: Manifest, line: Line, seconds: object) -> Earlier:
    position = line.get("position")
    return Earlier(
        identity=bytes.fromhex(str(line.get("id"))),
        period=manifest.period,
        collector=str(line.get("collector")),
        ledger=str(line.get("ledger")),
        position=position if isinstance(position, int) else 0,
        duration=round(seconds * SECOND) if isinstance(seconds, int | float) else 0,
        time=None,
        estimated=True,
    )


def paired(
    groups: Iterable[list[Use]], streams: Iterable[Iterable[Earlier]]
) -> Iterator[tuple[list[Use], list[Earlier]]]:
    """Each identity's uses together with what earlier periods counted of it.

    All of them must be in the order of identities; only one identity is held at a time.
    """
    merged = heapq.merge(*streams, key=lambda one: (one.identity, one.period, one.collector))
    known = groupby(merged, key=lambda one: one.identity)
    identity, found = next(known, (None, iter(())))
    for uses in groups:
        wanted = uses[0].identity
        while identity is not None and identity < wanted:
            identity, found = next(known, (None, iter(())))
        yield uses, list(found) if identity == wanted else []
