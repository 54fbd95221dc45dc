"""What periods, ledgers and billed sessions look like to whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from usage_collector.errors import NotFound
from usage_collector.ledger import unreported
from usage_collector.packages import buffered
from usage_collector.periods import rfc3339

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from usage_collector.ledger import Cut, Ledgers, Receipt, Status
    from usage_collector.periods import Period

_LINES_BYTES = 64 * 1024


def describe_cut(cut: Cut) -> dict[str, Any]:
    """``{period, count, files}`` as the answer to a cut."""
    return {
        "period": cut.period,
        "count": cut.count,
        "files": [msgspec.to_builtins(file) for file in cut.files],
    }


def describe_receipt(receipt: Receipt) -> dict[str, Any]:
    """``{state, by, at, files}``."""
    return {**msgspec.to_builtins(receipt), "at": rfc3339(receipt.at)}


def describe_periods(ledgers: Ledgers, collector: str, zone: str) -> dict[str, Any]:
    """All ledgers and all cuts with their receipts."""
    return {
        "collector": collector,
        "zone": zone,
        "ledgers": [_ledger(ledgers, status) for status in ledgers.all()],
        "periods": [_period(cut) for cut in ledgers.cuts.all()],
    }


def sessions(ledgers: Ledgers, period: Period) -> Generator[bytes, None, None]:
    """The billing identities of a period's ended sessions and batch jobs, sorted; one a line.

    Those without a duration that counts are left out: they were listed and never billed.

    Raises:
        NotFound: the period was not cut.
    """
    cut = ledgers.cuts.get(str(period))
    if cut is None:
        raise NotFound(f"{period} was not cut", f"POST /v1/periods/{period} first")
    yield from buffered(_lines(ledgers, cut), _LINES_BYTES)


def _lines(ledgers: Ledgers, cut: Cut) -> Iterator[bytes]:
    ranges = [(file.ledger, file.first, file.last) for file in cut.files]
    for billed in ledgers.identities(ranges):
        if billed.duration is None:
            continue
        line = {
            "id": billed.identity.hex(),
            "ledger": billed.ledger,
            "position": billed.position,
            "duration": billed.duration,
            "time": rfc3339(billed.time),
        }
        yield msgspec.json.encode(line) + b"\n"


def _ledger(ledgers: Ledgers, status: Status) -> dict[str, Any]:
    sent = ledgers.sent_to(status.id)
    return {
        "id": status.id,
        "state": "live" if status.live else "closed",
        "first": status.first,
        "last": status.last,
        "head": status.head.hex(),
        "began": rfc3339(status.began),
        "problem": status.problem,
        "damaged": status.damaged,
        "readable": status.readable,
        "restored": status.restored,
        "lost": status.lost,
        # A receipt may come after the purge: what was sent after all is no gap.
        "purged_unsent": [
            (max(first, sent + 1), last) for first, last in status.purged_unsent if last > sent
        ],
        "sent": sent,
        "unreported": unreported(ledgers.cuts.all(), status.id),
    }


def _period(cut: Cut) -> dict[str, Any]:
    return {
        **describe_cut(cut),
        "cut_at": rfc3339(cut.cut_at),
        "limits": msgspec.to_builtins(cut.limits),
        "ends": cut.ends,
        "early_events": None if cut.early_events is msgspec.UNSET else cut.early_events,
        "receipts": [describe_receipt(receipt) for receipt in cut.receipts],
    }
