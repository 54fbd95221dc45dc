"""How many dimensions are told apart: those of events may have any number of values.

Each combination of labels and dimensions has its own sums, which must stay few. A value too many
counts as `CROWD`, and so do all dimensions of a combination too many; no job is lost by that.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from usage_collector.events import dimensions
from usage_collector.usage.states import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_NAMES = 100
"""Of dimensions."""
MOST_VALUES = 5_000
"""Of one dimension."""
MOST_TOGETHER = 30_000
"""Combinations of dimensions and labels."""
MOST_CHARACTERS = 10_000_000
"""Of the dimensions of all combinations, which are kept in memory."""
CROWD = "\0"
"""Stands for values of which there are too many, or for the dimensions altogether."""
NOTHING = "\1"
"""Stands for a dimension that was not told, which is another thing than an empty one."""


class Crowd:
    """What is told apart, from the dimensions of all combinations there are; it only grows."""

    def __init__(self, written: Iterable[str]) -> None:
        self._values: dict[str, set[str]] = defaultdict(set)
        self._together = self._characters = 0
        for one in filter(None, written):
            self._note(one)

    def kept(self, written: str) -> str:
        """These dimensions (`dimensions.text`) with `CROWD` for each value too many."""
        if not written.startswith("{"):
            return written
        known, given = self._values, read(written)
        if len(known) + len(given.keys() - known.keys()) > MOST_NAMES:
            return CROWD
        for name, value in given.items():
            if value not in known[name] and len(known[name]) >= MOST_VALUES:
                given[name] = CROWD
        return dimensions.text(given)

    def take(self, written: str) -> str:
        """The same for a new combination: itself, or `CROWD` where there are too many of them."""
        full = self._together >= MOST_TOGETHER or self._characters >= MOST_CHARACTERS
        if full and written.startswith("{"):
            return CROWD
        self._note(written)
        return written

    def _note(self, written: str) -> None:
        self._together += 1
        self._characters += len(written)
        for name, value in read(written).items():
            self._values[name].add(value)


def read(written: str) -> dict[str, str]:
    """The dimensions of a combination; none where it stands for all of them."""
    try:
        return dimensions.read(written) if written.startswith("{") else {}
    except msgspec.MsgspecError:
        return {}


def value(written: str, name: str) -> str:
    """What a combination says of one dimension: a value, or `CROWD`, `UNKNOWN` or `NOTHING`."""
    if written in (CROWD, UNKNOWN):
        return written
    return read(written).get(name, NOTHING)
