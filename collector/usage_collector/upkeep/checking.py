"""A ledger's health, read only, on a running or a stopped collector."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from usage_collector.errors import Damaged, NotFound, UsageError
from usage_collector.ledger import Catalog, Cuts, head_of, inspect, open_reader, stretches
from usage_collector.packages import MARK_EVERY, link

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from usage_collector.ledger import Reader, Status


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be."""

    ledger: str | None
    what: str


@dataclass(frozen=True, slots=True)
class Report:
    """All ledgers of a data folder, what was counted in them, and what is wrong."""

    ledgers: list[Status]
    events: int
    findings: list[Finding]


def check(folder: Path, progress: Callable[[str, int, int], None]) -> Report:
    """Read everything and recompute it; ``progress`` gets ledger, events done and events in all.

    Raises:
        NotFound: there is no data folder of a collector.
    """
    catalog = Catalog(folder)
    if not catalog.folder.is_dir():
        raise NotFound(f"{folder} holds no ledgers", "give the collector's data folder")
    findings: list[Finding] = []
    statuses = []
    count = 0
    for about, closing in catalog.all():
        status = inspect(catalog.path(about.id), about, closing)
        statuses.append(status)
        # One that came back whole is closed for a reason that is none to worry about.
        if status.problem and (status.damaged or not status.restored):
            findings.append(Finding(about.id, status.problem))
        try:
            with open_reader(catalog.path(about.id), about.id) as reader:
                count += _read_all(reader, progress)
                _compare_head(reader, catalog.path(about.id))
        except UsageError as error:
            findings.append(Finding(about.id, error.detail))
            readable, lost = _salvageable(catalog.path(about.id), about.id)
            count += readable
            findings += lost
    findings += _check_cuts(folder, statuses)
    return Report(statuses, count, list(dict.fromkeys(findings)))


def _read_all(reader: Reader, progress: Callable[[str, int, int], None]) -> int:
    """Every page, every event, every hash; how many events there are."""
    problems = reader.page_problems()
    if problems:
        raise _wrong(f"the database is damaged: {'; '.join(problems)}")
    indexed = reader.indexed()
    first, last = reader.bounds()
    head = reader.hash_at(first - 1)
    position = first - 1
    for raw in reader.events(first, last):
        position += 1
        head = link(head, hashlib.sha256(raw).digest())
        if position % MARK_EVERY == 0:
            if reader.mark(position) != head:
                raise _wrong(f"events were altered up to 100 before position {position}")
            progress(reader.ledger, position - first + 1, last - first + 1)
    stored = reader.count_ids(indexed)
    if stored != max(indexed - first + 1, 0):
        raise _wrong(f"events that are indexed: {indexed - first + 1}, transport ids: {stored}")
    progress(reader.ledger, last - first + 1, last - first + 1)
    return last - first + 1


def _salvageable(folder: Path, ledger: str) -> tuple[int, list[Finding]]:
    """How many events of a damaged ledger can be read and proven, and which cannot."""
    head = head_of(folder)
    acknowledged = head.position if head else 0
    try:
        with open_reader(folder, ledger, lambda _: None) as reader:
            first, last = reader.bounds()
            runs = list(stretches(reader, first, last))
    except UsageError:
        runs, first, last = [], 1, 0
    ends = [first - 1, *(end for _, end in runs)]
    begins = [*(begin for begin, _ in runs), max(last, acknowledged) + 1]
    lost = [
        f"{end + 1} to {begin - 1}"
        for end, begin in zip(ends, begins, strict=True)
        if begin > end + 1
    ]
    readable = sum(end - begin + 1 for begin, end in runs)
    if head is None:
        lost.append(f"from {ends[-1] + 1} on, if there were any")
    what = f"cannot be read, or proven by the chain: positions {', '.join(lost)}"
    return readable, [Finding(ledger, what)] if lost else []


def _compare_head(reader: Reader, folder: Path) -> None:
    """The head is read first: a running collector only ever adds after it."""
    head = head_of(folder)
    first, last = reader.bounds()
    if head is None:
        raise _wrong("the head is missing or unreadable")
    if head.position > last:
        raise _wrong(f"positions {last + 1} to {head.position} are lost")
    if head.position >= first - 1 and reader.hash_at(head.position) != head.hash:
        raise _wrong(f"the chain at {head.position} is not the head's")


def _check_cuts(folder: Path, statuses: list[Status]) -> list[Finding]:
    try:
        cuts = Cuts(folder).all()
    except UsageError as error:
        return [Finding(None, error.detail)]
    lasts = {status.id: status.last for status in statuses}
    return [
        Finding(file.ledger, f"the cut of {cut.period} has positions up to {file.last}, "
                f"the ledger up to {lasts.get(file.ledger, 0)}")
        for cut in cuts
        for file in cut.files
        if file.last > lasts.get(file.ledger, 0)
    ]  # fmt: skip


def _wrong(what: str) -> Damaged:
    return Damaged(what, "restore a backup; the damaged ledger is kept as it is")
