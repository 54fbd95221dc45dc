"""What was delivered of a month stays in it: a later revision adds, and never takes away.

A collector may be silent, or have lost its volume, after its part of the month was delivered. That
part is read again where a folder or a bucket shows it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from usage_collector.errors import DeliveryFailed, PeerUnavailable
from usage_collector.monthly.before import read, shown
from usage_collector.monthly.recalling import package
from usage_collector.packages import Malformed, Trust, name_ending
from usage_collector.packages.delivery import moment_of, source
from usage_collector.packages.manifest import Gap, Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from usage_collector.monthly.parts import Order, Parts
    from usage_collector.monthly.plan import Delivered
    from usage_collector.packages.manifest import Manifest
    from usage_collector.packages.sorting import Sorter
    from usage_collector.peers import CutFile, Peer
    from usage_collector.periods import Period
    from usage_collector.totals.month import Line


@dataclass(frozen=True, slots=True)
class Standing:
    """The newest manifest of a month that somebody has got, and its file's bytes."""

    manifest: Manifest
    body: bytes

    @property
    def files(self) -> dict[str, str]:
        """The packages that it lists: name to SHA-256."""
        return {
            str(one.get("name")): str(one.get("sha256")) for one in self.manifest.lines("files")
        }

    @property
    def since(self) -> int | None:
        """From when on (µs) everything received is in it."""
        return moment_of(self.manifest.part("coverage").get("since"))


def find(
    order: Order,
    period: Period,
    peers: Sequence[Peer],
    proofs: Mapping[str, bytes],
    known: Delivered,
) -> Standing | None:
    """The newest manifest that was delivered, where anybody can show it as it was signed."""
    for _, show in shown(order, peers, str(period)):
        try:
            body = show()
            if body and known.holds(known.newest, hashlib.sha256(body).hexdigest()):
                return Standing(read(order, str(period), body, Trust(proofs=proofs)), body)
        except (Malformed, DeliveryFailed, PeerUnavailable):
            continue
    return None


def leave_delivered(
    order: Order, standing: Standing, parts: Parts, spool: Path, uses: Sorter
) -> None:
    """Keeps what was delivered of a ledger before it came to another collector.

    That one's packages of the same positions have its own name: they would be in the month twice.
    To be called before they are proved, since proving takes what they used.
    """
    delivered = {
        name_ending(str(line.get("ledger")), first, last): line
        for line in standing.manifest.lines("files")
        if isinstance(first := line.get("first"), int) and isinstance(last := line.get("last"), int)
    }

    def is_left(owner: str, file: CutFile) -> bool:
        line = delivered.get(name_ending(file.ledger, file.first, file.last))
        if line is None or line.get("collector") == owner:
            return False
        return _read_again(order, standing, line, parts, spool, uses)

    for number, (peer, fetched) in enumerate(parts.fetched):
        owner = fetched.status.collector
        rest = tuple(one for one in fetched.packages if not is_left(owner, one[0]))
        parts.fetched[number] = peer, replace(fetched, packages=rest)


def complete(order: Order, standing: Standing, parts: Parts, spool: Path, uses: Sorter) -> None:
    """Adds what was delivered and no collector gives now; names what nobody shows any more."""
    given = {file.name for file in parts.all_files}
    for line in standing.manifest.lines("files"):
        if line.get("name") in given or _read_again(order, standing, line, parts, spool, uses):
            continue
        what = f"positions {line.get('first')} to {line.get('last')} were delivered before"
        reason = f"{what}, and nobody shows them any more"
        parts.unshown.append(Gap(str(line.get("collector")), reason, str(line.get("ledger"))))


def _read_again(
    order: Order, standing: Standing, line: Line, parts: Parts, spool: Path, uses: Sorter
) -> bool:
    """Whether a package that was delivered is shown somewhere; then it is part of the month."""
    name, kept = str(line.get("name")), uses.keep()
    spool.mkdir(exist_ok=True)
    report = package(order, standing.manifest.period, line, spool / name, uses.add)
    if report is None:
        uses.take_back(kept)
        return False
    parts.kept.append((report, spool / name))
    order.say(f"{name} is read again: no collector gives it under that name")
    return True


def sources(standing: Standing | None, fetched: Sequence[Source]) -> list[Source]:
    """The collectors of the month: those that gave their part now, and those that did before."""
    found = {one.collector: one for one in fetched}
    for line in standing.manifest.lines("collectors") if standing else ():
        before = source(line)
        if now := found.get(before.collector):
            ledgers = tuple(dict.fromkeys((*now.ledgers, *before.ledgers)))
            found[before.collector] = replace(now, ledgers=ledgers)
        else:
            found[before.collector] = before
    return list(found.values())


def stands(standing: Standing, parts: Parts) -> bool:
    """Whether there is nothing to add to what was delivered, and no gap of it was closed."""
    files = {file.name: file.seal.sha256 for file in parts.all_files}
    gaps = {(gap.source, gap.ledger, gap.reason) for gap in parts.gaps}
    told = {
        (one.get("collector"), one.get("ledger"), one.get("reason"))
        for one in standing.manifest.lines("gaps")
    }
    return files.items() <= standing.files.items() and told <= gaps
