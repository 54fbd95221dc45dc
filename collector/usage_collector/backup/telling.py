"""Telling a collector of its backup, so that people who look at it see how old that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from usage_collector.backup.index import Index
    from usage_collector.peers import Peer


def tell(peer: Peer, place: str, index: Index, *, continuous: bool = False) -> None:
    """Leave a note of a complete backup, or of its tail, with the collector that it is of.

    Raises:
        PeerUnavailable, Refused, NotFound: it does not take notes, or not now.
    """
    ends: dict[str, int] = {}
    for one in index.packages:
        ends[one.ledger] = max(ends.get(one.ledger, 0), one.last)
    proof = index.verified
    note = {
        "place": place,
        "taken": index.taken,
        "ends": ends,
        "verified": proof.at if proof else None,
        "verified_ok": proof.ok if proof else None,
        **({"continuous": True} if continuous else {}),
    }
    peer.report("PUT", "/v1/notes/backup", {}, msgspec.to_builtins(note))
