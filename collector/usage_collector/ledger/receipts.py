"""How far the files of the cuts are known to have been sent. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usage_collector import receipts
from usage_collector.packages import ending_of, name_ending

if TYPE_CHECKING:
    from collections.abc import Iterable

    from usage_collector.ledger.cuts import Cut


def sent_to(cuts: Iterable[Cut], ledger: str) -> int:
    """The position up to which every event of the ledger is in a file that was sent.

    To every destination that it was promised to. Of a ledger that came back to another collector
    the files of before and of since have names of different collectors.
    """
    end, unsent = 0, []
    for cut in cuts:
        endings = set(map(ending_of, receipts.sent(cut.receipts)))
        mine = [file for file in cut.files if file.ledger == ledger]
        unsent += [
            one.first for one in mine if name_ending(one.ledger, one.first, one.last) not in endings
        ]
        end = max([end, cut.ends.get(ledger, 0), *(file.last for file in mine)])
    # What came back to a ledger is in a later cut than what follows it.
    return min(unsent) - 1 if unsent else end


def unreported(cuts: Iterable[Cut], ledger: str) -> list[tuple[int, int]]:
    """The positions up to the last cut, first and last of each run, that are in no period's files.

    They could not be read when they were to be cut, or were purged before.
    """
    cuts = list(cuts)
    files = sorted((f.first, f.last) for cut in cuts for f in cut.files if f.ledger == ledger)
    last = max((cut.ends.get(ledger, 0) for cut in cuts), default=0)
    found = []
    end = 0
    for first, until in files:
        if first > end + 1:
            found.append((end + 1, first - 1))
        end = max(end, until)
    return [*found, (end + 1, last)] if last > end else found
