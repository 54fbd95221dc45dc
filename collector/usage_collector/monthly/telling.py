"""Telling collectors when which month is due next, so that people who look at them see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usage_collector.errors import UsageError
from usage_collector.monthly.asking import at_once
from usage_collector.peers import Peer
from usage_collector.periods import microseconds, rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from usage_collector.monthly.parts import Asking
    from usage_collector.periods import Period


def tell_due(asking: Asking, period: Period, due: datetime) -> None:
    """Leave a note with each collector that answers now; nothing depends on it."""
    note = {"period": str(period), "due": rfc3339(microseconds(due))}

    def tell(url: str) -> None:
        try:
            with Peer(url, token=asking.token, tls=asking.tls, attempts=1) as peer:
                peer.report("PUT", "/v1/notes/export", {}, note)
        except UsageError as error:
            asking.say(f"{url} was not told of the next export: {error}")

    with at_once() as pool:
        for told in [pool.submit(tell, url) for url in asking.peers]:
            told.result()
