"""Hours by day as stacked bars, as SVG that stands in a page. Pure.

Colours are classes (`s0` … `s7`), so that the page decides them for screens and paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from usage_collector.words import many

if TYPE_CHECKING:
    from collections.abc import Sequence

    from usage_collector.report.figures import Day

COLOURS = 8
WIDTH, HEIGHT = 720, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 4, 10, 24
_LINES = 4
_LEAST = 1e-10
"""Hours; a microsecond is more."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A piece of a day's bar; places and sizes are in the plot's units."""

    colour: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Column:
    """A day: its bar's pieces, where its label stands, and whether it is shown.

    ``shade`` is behind a day of which not all is known.
    """

    name: str
    told: str
    bars: tuple[Bar, ...]
    middle: float
    labelled: bool
    shade: Bar | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """A line across the plot with what it stands for."""

    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Everything that the drawing needs."""

    columns: tuple[Column, ...]
    ticks: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT


def step(largest: float) -> float:
    """A round distance between the lines so that about four of them reach ``largest``."""
    if largest < _LEAST:
        return 0.25
    power = 10.0 ** math.floor(math.log10(largest / _LINES))
    return next(n * power for n in (1, 2, 2.5, 5, 10) if n * power * _LINES >= largest)


def plot(days: Sequence[Day]) -> Plot:
    """The drawing of these days, at least one."""
    distance = step(max((sum(day.hours) for day in days), default=0))
    top = distance * _LINES
    space = HEIGHT - _TOP - _BOTTOM
    ground = HEIGHT - _BOTTOM
    width = (WIDTH - _LEFT - _RIGHT) / max(len(days), 1)
    every = -(-len(days) // 16)
    return Plot(
        columns=tuple(
            Column(
                name=day.name[5:],
                told=_told(day),
                bars=tuple(_bars(day.hours, _LEFT + number * width, width, space / top)),
                middle=round(_LEFT + (number + 0.5) * width, 2),
                labelled=number % every == 0,
                shade=None if day.whole else _shade(_LEFT + number * width, width),
            )
            for number, day in enumerate(days)
        ),
        ticks=tuple(
            Tick(round(ground - space * n / _LINES, 2), f"{distance * n:g} h")
            for n in range(_LINES + 1)
        ),
    )


def _told(day: Day) -> str:
    if not day.whole and not day.count:
        return f"{day.name}: not known"
    least = "" if day.whole else "at least "
    count = many(day.count, "job or session", "jobs and sessions")
    return f"{day.name}: {least}{sum(day.hours):.3f} h, {count}"


def _shade(left: float, width: float) -> Bar:
    return Bar(0, round(left, 2), _TOP, round(width, 2), HEIGHT - _TOP - _BOTTOM)


def _bars(hours: Sequence[float], left: float, width: float, scale: float) -> list[Bar]:
    found, ground = [], float(HEIGHT - _BOTTOM)
    for number, value in enumerate(hours):
        if value > 0:
            height = value * scale
            ground -= height
            found.append(
                Bar(
                    min(number, COLOURS - 1),
                    *(round(one, 2) for one in (left + width * 0.1, ground, width * 0.8, height)),
                )
            )
    return found
