"""What the deliveries of the periods before said, where a destination can still show them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from usage_collector.errors import DeliveryFailed
from usage_collector.monthly import earlier
from usage_collector.packages import Malformed, Trust
from usage_collector.packages import manifest as manifests
from usage_collector.packages.delivery import resumed
from usage_collector.packages.manifest import DELIVERY, Gap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from usage_collector.monthly.parts import Order
    from usage_collector.packages.manifest import Manifest
    from usage_collector.periods import Period
    from usage_collector.sessions import Use
    from usage_collector.targets import Destination
    from usage_collector.totals.month import Earlier, Line

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Before:
    """The manifest of the period before, and what the last two counted and left over.

    ``carried`` are the sessions that were alive at the last cut, ``resumed`` their lines.
    """

    manifest: Manifest | None = None
    estimates: list[list[Earlier]] = field(default_factory=list)
    carried: list[Use] = field(default_factory=list)
    resumed: list[Line] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)


def look(order: Order, period: Period, proofs: Mapping[str, bytes]) -> Before:
    """Reads the newest manifests of the two periods before that a destination can still show.

    One that is not signed with any of ``proofs`` is a gap: whoever changed it could change this
    month's totals by it.
    """
    found = Before()
    trust = Trust(proofs=proofs)
    for month in (period.previous, period.previous.previous):
        for destination in order.destinations:
            try:
                manifest = _newest(order, destination, str(month), trust)
                if manifest and month == period.previous:
                    found.carried = resumed(manifest, "carried")
                    found.resumed = manifest.lines("carried")
                    found.manifest = manifest
            except Malformed as error:
                _log.warning("%s, manifest of %s: %s", destination.name, month, error)
                reason = f"the manifest of {month} is not as it was signed, and is left out"
                found.gaps.append(Gap(DELIVERY, reason))
            except DeliveryFailed as error:
                _log.warning("%s", error)
            else:
                if manifest:
                    found.estimates.append(earlier.estimates(manifest))
                    break
    return found


def _newest(order: Order, destination: Destination, folder: str, trust: Trust) -> Manifest | None:
    held = [(manifests.revision_of(name) or 0, name) for name in destination.held(folder)]
    revision, name = max(held, default=(0, ""))
    body = destination.fetch(folder, name) if revision else None
    if body is None:
        return None
    path = order.spool / f"{folder}-before.json"
    path.write_bytes(body)
    with path.open("rb") as file:
        manifest = manifests.read(file, {})
    if wrong := trust.judge(name, manifest.seal):
        raise Malformed(wrong.detail)
    if manifest.period != folder:
        raise Malformed(f"it is of {manifest.period}")
    return manifest
