"""What a customer will have used by the month's end, and which part of its quota is reached.

Nothing here ever refuses an event: what was used is billed.
"""

from __future__ import annotations

import math
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from usage_collector.sessions import HOUR

if TYPE_CHECKING:
    from collections.abc import Sequence

HISTORY_DAYS = 28
"""Of whole days before today a forecast is made."""
_WEEK = 7
_NORMAL_80 = 1.2816
"""Of a normal distribution, 80 % lie within so many standard deviations."""


class Forecast(NamedTuple):
    """Hours by the end of the month, and between which 4 of 5 such forecasts come true."""

    hours: float
    low: float
    high: float


def forecast(
    used: float, history: Sequence[float], passed: float, remaining: int
) -> Forecast | None:
    """The hours that a month will come to; None where there is too little to go by.

    ``used`` are the month's hours so far, ``history`` those of the whole days before today, the
    oldest first, ``passed`` is the part of today that is over, and ``remaining`` are the whole
    days of the month behind today. A day is expected to be like the same days of the weeks before,
    where two weeks are known, otherwise like all; days differ from that as they did so far.
    """
    days = list(history[-HISTORY_DAYS:])
    if len(days) < 2:
        return None
    cycle = _WEEK if len(days) >= 2 * _WEEK else 1
    alike = [days[start::cycle] for start in range(cycle)]
    # How much of each kind of day is still to come: what is left of today, and the days behind it.
    coming = [0.0] * cycle
    for ahead in range(remaining + 1):
        coming[(len(days) + ahead) % cycle] += 1 if ahead else 1 - passed
    hours = used + sum(left * fmean(known) for left, known in zip(coming, alike, strict=True))
    # Each kind's mean takes one degree of freedom, and is itself not known exactly.
    squares = sum(sum((one - fmean(known)) ** 2 for one in known) for known in alike)
    spread = sum(left + left**2 / len(known) for left, known in zip(coming, alike, strict=True))
    deviation = math.sqrt(squares / (len(days) - cycle) * spread)
    low, high = hours - _NORMAL_80 * deviation, hours + _NORMAL_80 * deviation
    return Forecast(hours, max(used, low), high)


def reached(used: float, limit: float | None, parts: Sequence[float]) -> float:
    """The highest of these parts of a quota that is reached; 0 where none is."""
    if limit is None:
        return 0
    return max((one for one in parts if is_reached(used, limit, one)), default=0)


def is_reached(used: float, limit: float, part: float) -> bool:
    """Whether that part of a quota is used; where nothing is allowed, by whatever is used."""
    return used > 0 and used >= part * limit


def hours(duration: int) -> float:
    """µs as hours, to six places."""
    return round(duration / HOUR, 6)
