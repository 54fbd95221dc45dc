"""Collectors that lost their volume, as the others remember them.

One that begins anew knows nothing of the time before; whoever had heard it does. Of what it told
nothing is missing here; of what came after that nobody knows anything.
"""

from __future__ import annotations

import gzip
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from usage_collector import receipts
from usage_collector.periods import moment, rfc3339
from usage_collector.usage.coverage import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from usage_collector.ledger import Cut
    from usage_collector.usage.coverage import Source


ENOUGH = 2
"""So many months delivered after a loss have told of it, as far as anybody can."""


class _Gap(msgspec.Struct):
    collector: str


class _Payload(msgspec.Struct):
    gaps: list[_Gap] = []


class _Manifest(msgspec.Struct):
    payload: _Payload


_decode = msgspec.json.Decoder(_Manifest).decode


class Loss(msgspec.Struct, frozen=True, array_like=True, order=True):
    """A collector that has nothing of before ``anew``: there since ``began``, known to ``heard``.

    All are µs. ``gaps`` are stretches before that it lacked already, and no longer knows of.
    """

    collector: str
    anew: int
    heard: int
    began: int
    gaps: list[Trouble] = []

    def merged(self, other: Loss | None) -> Loss:
        """What both say of one loss; a collector may have been heard by one longer than by another.

        Not all that one was told has come to the other, so that the shorter time counts.
        """
        if other is None:
            return self
        heard, began = min(self.heard, other.heard), min(self.began, other.began)
        gaps = {msgspec.structs.astuple(gap): gap for gap in (*self.gaps, *other.gaps)}
        in_order = sorted(gaps.values(), key=repr)
        return Loss(self.collector, self.anew, heard, began, in_order)

    @property
    def troubles(self) -> list[Trouble]:
        """What is not known because of it."""
        why = f"it lost what it held, and began anew at {moment(self.anew):%Y-%m-%d %H:%M:%S} UTC"
        return [*self.gaps, Trouble(why, self.heard, self.anew)]

    @property
    def line(self) -> dict[str, object]:
        """As ``GET /v1/periods`` lists it."""
        times = {"began": self.began, "heard": self.heard, "anew": self.anew}
        return {"collector": self.collector, **{name: rfc3339(at) for name, at in times.items()}}


def remembered(source: Source, losses: Iterable[Loss]) -> Source:
    """That collector with what it lost; it is there since it first was."""
    own = [loss for loss in losses if loss.collector == source.collector]
    if not own:
        return source
    began = min(loss.began for loss in own)
    return msgspec.structs.replace(
        source,
        troubles=[*source.troubles, *(trouble for loss in own for trouble in loss.troubles)],
        began=began if source.began is None else min(began, source.began),
    )


def pending(
    losses: Iterable[Loss],
    collector: str,
    began: int,
    cuts: Iterable[Cut],
    manifest: Callable[[str], bytes | None],
) -> tuple[int, int] | None:
    """From when to when (µs) nobody knows what that collector held; None: nothing is to be done.

    ``began`` is when its oldest ledger did: one of before a loss came back from a backup. Else the
    months delivered since are asked, by its ``cuts`` and each period's ``manifest``: one tells of
    the loss, but not the one that had been delivered before and came again; the second always does.
    """
    own = [one for one in losses if one.collector == collector and one.anew <= began]
    delivered = [one for one in cuts if own and receipts.complete(one.receipts)]
    left = []
    for loss in own:
        since = [one.period for one in delivered if one.cut_at > loss.anew]
        if len(since) < ENOUGH and not any(collector in _with_gaps(manifest(p)) for p in since):
            left.append(loss)
    return (min(one.heard for one in left), max(one.anew for one in left)) if left else None


@lru_cache(maxsize=16)
def _with_gaps(manifest: bytes | None) -> frozenset[str]:
    """The collectors of which a month's manifest, gzipped, lists gaps."""
    try:
        payload = _decode(gzip.decompress(manifest or b"")).payload
    except (OSError, EOFError, zlib.error, msgspec.MsgspecError):
        return frozenset()
    return frozenset(gap.collector for gap in payload.gaps)
