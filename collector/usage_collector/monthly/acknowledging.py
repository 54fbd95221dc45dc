"""That somebody has got a month, noted with all collectors."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from usage_collector import receipts
from usage_collector.errors import InvalidInput, UsageError
from usage_collector.monthly.asking import ask_all
from usage_collector.packages import ending_of, name_ending

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from usage_collector.monthly.parts import Asking
    from usage_collector.peers import Cut, Peer, Receipt
    from usage_collector.periods import Period


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Who noted it, with how many files each, and who did not, with the reason."""

    noted: Mapping[str, int]
    failed: Sequence[str]


def files_of(
    told: Sequence[Receipt], by: str, listed: Mapping[str, str] | None
) -> list[dict[str, str]]:
    """What ``by`` acknowledges at a collector with these receipts: `{name, sha256}` each.

    ``listed`` are files that somebody holds (name to SHA-256): those that the collector ever
    promised or sent to anybody. None: all that receipts say ``by`` was sent.

    Raises:
        InvalidInput: a listed file is not the one that receipts name; or there is none.
    """
    if listed is None:
        mine = receipts.arrived(told).get(by)
        if mine is None:
            others = ", ".join(sorted(receipts.arrived(told))) or "nobody"
            raise InvalidInput(
                f"{by} was sent nothing", f"sent was to {others}; or give the manifest they hold"
            )
        return [{"name": name, "sha256": sha256} for name, sha256 in mine.items()]
    known: dict[str, set[str]] = {}
    for one in told:
        for file in one.files:
            known.setdefault(file.name, set()).add(file.sha256)
    for name in known.keys() & listed.keys():
        if listed[name] not in known[name]:
            raise InvalidInput(
                f"{name} is another file than the one that was exported",
                "compare it with what was delivered; nothing was acknowledged here",
            )
    if not known.keys() & listed.keys():
        raise InvalidInput("none of the listed files was exported here", "check the manifest")
    return [{"name": name, "sha256": listed[name]} for name in listed if name in known]


def acknowledge(
    asking: Asking, period: Period, by: str, listed: Mapping[str, str] | None = None
) -> Acknowledged:
    """Posts an `acknowledged` receipt in the name of ``by`` to each collector that cut the period.

    A collector that does not answer, or was told nothing of these files, is named. One whose cut
    came back without receipts takes the word of the manifest that it keeps.
    """
    noted: dict[str, int] = {}
    with ExitStack() as stack:
        answered, silent = ask_all(stack, asking)
        failed = [str(gap) for gap in silent]
        for peer, status in answered:
            cut = status.cut(str(period))
            if cut is None:
                failed.append(f"{status.collector}: {period} was not cut")
                continue
            try:
                if listed and not cut.receipts and _keeps(peer, cut, listed):
                    files = [{"name": name, "sha256": digest} for name, digest in listed.items()]
                else:
                    files = files_of(cut.receipts, by, listed)
                peer.receipt(str(period), "acknowledged", files, by)
            except UsageError as error:
                failed.append(f"{status.collector}: {error}")
            else:
                noted[status.collector] = len(files)
    return Acknowledged(noted, failed)


def _keeps(peer: Peer, cut: Cut, listed: Mapping[str, str]) -> bool:
    """Whether a collector has that very manifest, as restored, and all of its cut is in it.

    One that was silent then, and took over what another lost, has more to deliver.
    """
    manifest = peer.manifest(cut.period)
    if manifest is None or hashlib.sha256(manifest).hexdigest() not in listed.values():
        return False
    # A ledger may have come back to another collector than the one that its packages name.
    mine = {name_ending(one.ledger, one.first, one.last) for one in cut.files}
    return mine <= set(map(ending_of, listed))
