"""How far the files of the cuts are known to have been sent. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usage_collector.packages import Chain, Contents, file_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from usage_collector.ledger.cuts import Cut, CutFile

SENT = frozenset({"sent", "acknowledged"})


def sent_to(cuts: Iterable[Cut], ledger: str, collector: str) -> int:
    """The position up to which every event of the ledger is in a file that was sent."""
    end = 0
    for cut in cuts:
        names = {f.name for r in cut.receipts if r.state in SENT for f in r.files}
        mine = [file for file in cut.files if file.ledger == ledger]
        for file in sorted(mine, key=lambda file: file.first):
            if _name(file, collector, cut.period) not in names:
                return end
            end = file.last
        end = max(end, cut.ends.get(ledger, 0))
    return end


def _name(file: CutFile, collector: str, period: str) -> str:
    chain = Chain(file.first, file.last, b"", b"", ())
    return file_name(
        Contents(collector, "", file.ledger, period, None, None, file.count, chain, None)
    )
