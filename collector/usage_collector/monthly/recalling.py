"""What collectors cannot tell any more of earlier months, read from the packages delivered then.

A volume may be lost, a zone given up, a collector away. What it had counted is in packages that
a folder or a bucket still shows: so what comes again at another collector is not billed again.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

from usage_collector.errors import DeliveryFailed
from usage_collector.packages import Trust
from usage_collector.packages.checking import Check
from usage_collector.packages.sorting import Sorter
from usage_collector.totals.month import Earlier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import ExitStack
    from pathlib import Path

    from usage_collector.monthly.fetching import Fetched
    from usage_collector.monthly.parts import Order
    from usage_collector.packages import FileReport
    from usage_collector.packages.manifest import Manifest
    from usage_collector.peers import CutFile, Status
    from usage_collector.sessions import Use
    from usage_collector.totals.month import Line

_log = logging.getLogger(__name__)


def untold(manifest: Manifest, fetched: Iterable[Fetched]) -> list[Line]:
    """The packages of an earlier month of which no collector told what was counted."""
    told = {
        (file.ledger, file.first, file.last)
        for one in fetched
        for period, _ in one.sessions
        if period == manifest.period and (cut := one.status.cut(period))
        for file in cut.files
        if not _began_later(one.status, file)
    }
    return [
        line
        for line in manifest.lines("files")
        if (line.get("ledger"), line.get("first"), line.get("last")) not in told
    ]


def _began_later(status: Status, file: CutFile) -> bool:
    # Of what was purged before the backup a restored ledger holds nothing, nor who was billed.
    return any(
        one.id == file.ledger and one.restored and file.first < one.first for one in status.ledgers
    )


def recall(
    order: Order, manifest: Manifest, lines: Iterable[Line], stack: ExitStack
) -> tuple[Iterator[Earlier], set[str]]:
    """What these packages of an earlier month counted, in the order of identities.

    And the collectors of whose packages no destination shows every one, as it was delivered. What
    is read lasts as long as the stack.
    """
    uses, missing = stack.enter_context(Sorter(order.spool)), set()

    def take(use: Use) -> None:
        if use.final and use.counts and not use.warm_up:
            uses.add(use)

    for line in lines:
        name, kept = str(line.get("name")), uses.keep()
        if package(order, manifest.period, line, order.spool / "earlier.json.gz", take):
            order.say(f"{name} of {manifest.period} is read again: nobody else tells what it holds")
        else:
            uses.take_back(kept)
            missing.add(str(line.get("collector")))
    return _counted(uses, manifest.period), missing


def package(
    order: Order, folder: str, line: Line, path: Path, take: Callable[[Use], None]
) -> FileReport | None:
    """Fetches a delivered package to ``path`` as a trusted manifest tells of it, and reads it.

    None where no destination shows it as it was delivered; what ``take`` was given is void then.
    """
    name = str(line.get("name"))
    for body in shown_files(order, folder, name):
        if hashlib.sha256(body).hexdigest() == line.get("sha256"):
            path.write_bytes(body)
            # Its SHA-256 is what was signed for, so no key is asked for, and its content is whole.
            check = Check(name, Trust(), take)
            with path.open("rb") as file:
                check.run(file)
            return None if check.findings else check.report
    return None


def shown_files(order: Order, folder: str, name: str) -> Iterator[bytes]:
    """What each destination that can shows under that name."""
    for destination in order.destinations:
        try:
            body = destination.fetch(folder, name)
        except DeliveryFailed as error:
            _log.warning("%s", error)
            continue
        if body is not None:
            yield body


def _counted(uses: Sorter, period: str) -> Iterator[Earlier]:
    """As a collector tells it: one for each end that was billed, or was a duplicate of one."""
    for group in uses.groups():
        for use in sorted(group, key=lambda one: one.place):
            yield Earlier(
                identity=use.identity,
                period=period,
                collector=use.place.collector,
                ledger=use.place.ledger,
                position=use.place.position,
                duration=use.duration or 0,
                time=use.time,
            )
