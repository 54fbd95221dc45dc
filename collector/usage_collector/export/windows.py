"""How much one export of a window may hold, and windows that do fit. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from usage_collector.ledger import BATCH_JOB, Load
from usage_collector.periods import SECOND, Window, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from usage_collector.ledger import Filed

MOST = Load(jobs=25_000, realtime_ms=5_000 * 3_600_000)
"""What one export of a window holds at most, unless it is a single instant."""


@dataclass(frozen=True, slots=True)
class Part:
    """A window and the number of events in it."""

    window: Window
    count: int

    def as_json(self) -> dict[str, object]:
        """As the answer to a window that is too large lists it."""
        return {
            "since": self.window.since,
            "until": _until(self.window.until_us),
            "count": self.count,
        }


def fits(load: Load, most: Load = MOST) -> bool:
    """Whether one export may hold this."""
    return load.jobs <= most.jobs and load.realtime_ms <= most.realtime_ms


def weighed(weight: int | None) -> Load:
    """One event's weight as a load."""
    if weight is None:
        return Load()
    return Load(jobs=1) if weight == BATCH_JOB else Load(realtime_ms=weight)


def split(filed: Iterable[Filed], asked: Window, most: Load = MOST) -> Iterator[Part]:
    """Windows that together cover exactly the one asked for, and fit where an instant does.

    ``filed`` are its events in order of time.
    """
    since, count, total = asked.since_us, 0, Load()
    for moment, group in groupby(filed, key=attrgetter("time")):
        added, number = Load(), 0
        for event in group:
            added += weighed(event.weight)
            number += 1
        if count and not fits(total + added, most):
            yield Part(Window(since, moment - 1), count)
            since, count, total = moment, 0, Load()
        count += number
        total += added
    yield Part(Window(since, asked.until_us), count)


def _until(us: int | None) -> str | None:
    # A whole second without a fraction would be read as lasting to its end.
    if us is not None and us % SECOND == 0:
        return rfc3339(us).removesuffix("Z") + ".000000Z"
    return None if us is None else Window(None, us).until
