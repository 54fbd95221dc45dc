"""Fixing what belongs to a period, once and for ever, and noting who got it."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from usage_collector import events
from usage_collector.errors import Conflict, Damaged, InvalidInput, NotFound, StorageUnavailable
from usage_collector.export import files
from usage_collector.ledger import Cut, CutFile, Receipt, stretches, unreported
from usage_collector.ledger import weight as weight_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from usage_collector.ledger import Ledgers, Limits, Pace, Reader, ReceiptFile, Status
    from usage_collector.periods import Period

_GZIP_MAGIC = b"\x1f\x8b"
STATES = ("exported", "sent", "acknowledged")
"""What a receipt may say, from least to most."""

_cutting = threading.Lock()


def cut(
    ledgers: Ledgers,
    period: Period,
    limits: Limits,
    now: int,
    early: Mapping[str, int] | None = None,
) -> Cut:
    """The period's cut: everything received since the one before; made when it is not there yet.

    ``now`` in µs. ``early`` are all events that ever came from the future, by day of their receipt;
    None where that is not known. It and the limits count only the first time.

    Raises:
        Conflict: the month has not begun, or a later one was cut already.
        StorageUnavailable: a ledger cannot be read now, or the cut cannot be kept.
    """
    with _cutting:
        existing = ledgers.cuts.get(str(period))
        if existing is not None:
            return existing
        if now < period.start:
            raise Conflict(f"{period} has not begun", "cut it when it has")
        later = [made.period for made in ledgers.cuts.all() if made.period > str(period)]
        if later:
            raise Conflict(
                f"{period} was never cut, but {later[-1]} was",
                f"its events are in the files of {later[0]}",
            )
        statuses = ledgers.all()
        # What comes in from here on is in the next cut, but the head must know what is in this.
        ledgers.flush_head()
        made = Cut(
            period=str(period),
            cut_at=now,
            limits=limits,
            ends={status.id: status.last for status in statuses},
            files=[file for status in statuses for file in _files(ledgers, status, limits)],
            early_events=None if early is None else _new(early, ledgers.cuts.all()),
        )
        ledgers.cuts.save(made)
        return made


def _new(early: Mapping[str, int], cuts: Iterable[Cut]) -> dict[str, int]:
    """Those that no cut has told of yet."""
    found = Counter(early)
    for made in cuts:
        # A cut of before this was counted says nothing.
        found.subtract(made.early_events or {})
    return {day: number for day, number in sorted(found.items()) if number > 0}


def _files(ledgers: Ledgers, status: Status, limits: Limits) -> list[CutFile]:
    if not status.readable:
        _recheck(ledgers, status)
        return []
    runs = [(ledgers.cuts.end(status.id) + 1, status.last)]
    if status.restored:
        # What could not be read when its period was cut may have come back since.
        runs = [*unreported(ledgers.cuts.all(), status.id), *runs]
    kept = [(max(first, status.first), min(last, status.last)) for first, last in runs]
    with ledgers.reader(status.id) as reader:
        return [
            file
            for first, last in kept
            for file in _readable(reader, ledgers.pace, first, last, limits)
        ]


def _readable(reader: Reader, pace: Pace, first: int, last: int, limits: Limits) -> list[CutFile]:
    if first > last:
        return []
    try:
        return list(_split(reader, pace, [(first, last)], limits))
    except Damaged:
        # What cannot be read is in no period, which is told; the rest is.
        return list(_split(reader, pace, stretches(reader, first, last), limits))


def _split(
    reader: Reader, pace: Pace, runs: Iterable[tuple[int, int]], limits: Limits
) -> Iterator[CutFile]:
    for first, last in runs:
        start = first
        items = map(_item, pace.paced(reader.events(first, last)))
        for stretch in files.split(items, limits):
            yield CutFile(
                ledger=reader.ledger,
                first=start,
                last=start + stretch.events - 1,
                count=stretch.events,
                batch_jobs=stretch.load.jobs,
                realtime_hours=stretch.load.hours,
            )
            start += stretch.events


def _recheck(ledgers: Ledgers, status: Status) -> None:
    """Return for a ledger that is damaged; other troubles pass, and nothing is cut until then.

    Raises:
        StorageUnavailable: it cannot be read at the moment, or could not a moment ago.
    """
    try:
        with ledgers.reader(status.id) as reader:
            reader.hash_at(reader.bounds()[1])
    except Damaged:
        return
    raise StorageUnavailable(f"ledger {status.id} could not be read", "try again shortly")


def _item(raw: bytes) -> files.Item:
    return files.Item(raw, weight_of(events.read(raw)))


def receive(
    ledgers: Ledgers, period: Period, state: str, by: str, delivered: list[ReceiptFile], now: int
) -> Receipt:
    """Keep a receipt; the same one again as the last changes nothing.

    Raises:
        InvalidInput: names the field.
        NotFound: the period was not cut.
    """
    if state not in STATES:
        raise InvalidInput(f"state is {state!r}", f"use one of {', '.join(STATES)}")
    for index, file in enumerate(delivered):
        if len(file.sha256) != 64 or not set(file.sha256) <= set("0123456789abcdef"):
            raise InvalidInput(
                f"files[{index}].sha256 is {file.sha256!r}", "use 64 lower-case hex digits"
            )
    with ledgers.cuts.lock:
        found = ledgers.cuts.get(str(period))
        if found is None:
            raise NotFound(f"{period} was not cut", f"POST /v1/periods/{period} first")
        last = [one for one in found.receipts if (one.state, one.by) == (state, by)][-1:]
        if last and last[0].files == delivered:
            return last[0]
        receipt = Receipt(state, by, now, delivered)
        ledgers.cuts.save(msgspec.structs.replace(found, receipts=[*found.receipts, receipt]))
        return receipt


def keep_manifest(ledgers: Ledgers, period: Period, manifest: bytes) -> None:
    """Keep a period's manifest, a gzip file, in the place of an older one.

    Raises:
        InvalidInput: it is no gzip file.
        NotFound: the period was not cut.
    """
    if not manifest.startswith(_GZIP_MAGIC):
        raise InvalidInput("the manifest is no gzip file", "compress it")
    if ledgers.cuts.get(str(period)) is None:
        raise NotFound(f"{period} was not cut", f"POST /v1/periods/{period} first")
    ledgers.cuts.keep_manifest(str(period), manifest)


def kept_manifest(ledgers: Ledgers, period: Period) -> bytes:
    """The period's manifest as it was kept; `NotFound` where none is."""
    manifest = ledgers.cuts.manifest(str(period))
    if manifest is None:
        raise NotFound(f"no manifest of {period} was left here", "the export leaves one")
    return manifest
