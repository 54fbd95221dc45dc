"""What the deliveries of the periods before said, where a destination can still show them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from usage_collector.errors import DeliveryFailed, PeerUnavailable
from usage_collector.monthly import earlier, plan
from usage_collector.packages import Malformed, Trust
from usage_collector.packages import manifest as manifests
from usage_collector.packages.delivery import announced, resumed
from usage_collector.packages.manifest import DELIVERY, Gap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from usage_collector.monthly.fetching import Fetched
    from usage_collector.monthly.parts import Order
    from usage_collector.packages.manifest import Manifest
    from usage_collector.peers import Peer
    from usage_collector.periods import Period
    from usage_collector.sessions import Use
    from usage_collector.targets import Destination
    from usage_collector.totals.month import Earlier, Line

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Before:
    """The manifests of the last two periods, and what these counted and left over.

    ``manifest`` is that of the period before, ``older`` the one before that. ``carried`` are the
    sessions that were alive at the last cut and the jobs that were pending, ``resumed`` and
    ``announced`` their lines.
    """

    manifest: Manifest | None = None
    older: Manifest | None = None
    estimates: list[list[Earlier]] = field(default_factory=list)
    carried: list[Use] = field(default_factory=list)
    resumed: list[Line] = field(default_factory=list)
    announced: list[Line] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)


def look(
    order: Order,
    period: Period,
    proofs: Mapping[str, bytes],
    fetched: Sequence[tuple[Peer, Fetched]],
) -> Before:
    """Reads the newest manifests of the two periods before, where anybody can still show them.

    Destinations are asked first, then collectors, which keep a copy. One that is not signed with
    any of ``proofs`` is a gap: whoever changed it could change this month's totals by it. So is
    none, where there should be one.
    """
    found, peers = Before(), [peer for peer, _ in fetched]
    for month in (period.previous, period.previous.previous):
        cuts = [cut for _, one in fetched if (cut := one.status.cut(str(month)))]
        newest = plan.delivered(cuts, ()).newest
        known = _seek(order, str(month), Trust(proofs=proofs), peers, newest, found.gaps)
        if cuts and (known is None or known[0].revision < newest):
            reason = f"what {month} left over is not known: nobody shows its newest manifest"
            found.gaps.append(Gap(DELIVERY, reason))
        if known is None:
            continue
        manifest, left = known
        found.estimates.append(earlier.estimates(manifest))
        if month == period.previous:
            found.manifest, found.carried = manifest, left
            found.resumed, found.announced = manifest.lines("carried"), manifest.lines("pending")
        else:
            found.older = manifest
    return found


def _seek(
    order: Order, folder: str, trust: Trust, peers: Sequence[Peer], newest: int, gaps: list[Gap]
) -> tuple[Manifest, list[Use]] | None:
    """The newest manifest of a month that anybody shows, and what it left to the next one.

    A destination may have been full when the others got revision ``newest``, which is looked for.
    """
    found: tuple[Manifest, list[Use]] | None = None
    for who, show in shown(order, peers, folder):
        try:
            if (body := show()) is None:
                continue
            manifest = read(order, folder, body, trust)
            left = resumed(manifest, "carried") + announced(manifest, "pending")
        except Malformed as error:
            _log.warning("%s, manifest of %s: %s", who, folder, error)
            reason = f"the manifest of {folder} is not as it was signed, and is left out"
            gaps += [gap for gap in [Gap(DELIVERY, reason)] if gap not in gaps]
            continue
        except (DeliveryFailed, PeerUnavailable) as error:
            _log.warning("%s", error)
            continue
        if found is None or manifest.revision > found[0].revision:
            found = manifest, left
        if manifest.revision >= newest:
            break
    return found


_Show = Callable[[], "bytes | None"]


def shown(order: Order, peers: Sequence[Peer], folder: str) -> Iterator[tuple[str, _Show]]:
    """Who might show a month's newest manifest, and how to ask: destinations, then collectors."""
    for destination in order.destinations:
        yield destination.name, partial(_newest, destination, folder)
    for peer in peers:
        yield peer.url, partial(peer.manifest, folder)


def _newest(destination: Destination, folder: str) -> bytes | None:
    shown = destination.held(folder) or {}
    held = [(manifests.revision_of(name) or 0, name) for name in shown]
    revision, name = max(held, default=(0, ""))
    return destination.fetch(folder, name) if revision else None


def read(order: Order, folder: str, body: bytes, trust: Trust) -> Manifest:
    """A month's manifest; `Malformed` where it is none, of another month, or not trusted."""
    path = order.spool / f"{folder}-before.json"
    path.write_bytes(body)
    with path.open("rb") as file:
        manifest = manifests.read(file, {})
    if wrong := trust.judge(path.name, manifest.seal):
        raise Malformed(wrong.detail)
    if manifest.period != folder:
        raise Malformed(f"it is of {manifest.period}")
    return manifest
