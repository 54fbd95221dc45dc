"""The billing rules: sessions to counts and hours, by every dimension that bills are asked for.

| what was received | counted |
|---|---|
| a batch job's end (`TRANSCRIBER_DONE`) | one job with its longest duration |
| a real-time session's end (`SESSION_ENDED`) | one session with its longest duration |
| a real-time session that never ended, and is over | one session, estimated from its last status |
| a real-time session still alive | nothing yet; it carries over |
| an announced job (`TRANSCRIPT_NOTIFIED`) of unknown duration | nothing yet; it is pending |
| a status that names no session | nothing; nobody knows of which |
| a warm-up | a warm-up, never a job and never hours |
| an end whose duration is missing or implausible | nothing; it is listed |
| the same identity again, anywhere | nothing; it is listed |
| ends of one identity that differ | the longest; the others are listed as a conflict |
| a real end after an estimate was reported | the difference, as a correction of that period |
| anything else, such as a failed job | nothing; it is kept |
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING

from usage_collector.sessions import HOUR, SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from usage_collector.sessions import Session

DIMENSIONS = ("mode", "type", "language", "operating_point", "customer", "zone", "format")
_values = attrgetter(*DIMENSIONS)
GROUPINGS: tuple[tuple[str, ...], ...] = (
    ("mode",),
    ("type",),
    ("language",),
    ("operating_point",),
    ("customer",),
    ("zone",),
    ("format",),
    ("mode", "type"),
    ("mode", "type", "language", "operating_point"),
)


@dataclass(slots=True)
class Amount:
    """A number of jobs and sessions with their durations in µs: billed, and speech within it."""

    count: int = 0
    duration: int = 0
    speech: int = 0

    def add(self, session: Session) -> None:
        """Counts one more."""
        self.count += 1
        self.duration += session.duration
        self.speech += session.best.speech

    def merge(self, other: Amount) -> None:
        """Adds another amount to this one."""
        self.count += other.count
        self.duration += other.duration
        self.speech += other.speech

    @property
    def hours(self) -> float:
        """The billed duration in hours, to six places: for people; `seconds` is exact."""
        return round(self.duration / HOUR, 6)

    @property
    def seconds(self) -> float:
        """The billed duration in seconds; exact, since a µs needs only 6 of a float's 15 digits."""
        return self.duration / SECOND

    def as_json(self) -> dict[str, object]:
        """As it stands in a manifest."""
        return {
            "count": self.count,
            "hours": self.hours,
            "seconds": self.seconds,
            "speech_seconds": self.speech / SECOND,
        }


@dataclass(slots=True)
class Totals:
    """A sum over sessions, whole and by each of `DIMENSIONS`; warm-ups stand apart."""

    all: Amount = field(default_factory=Amount)
    warm_ups: Amount = field(default_factory=Amount)
    estimated: Amount = field(default_factory=Amount)
    cube: dict[tuple[str, ...], Amount] = field(default_factory=dict)

    def add(self, session: Session) -> None:
        """Counts one resolved session by the rules above."""
        if session.warm_up:
            self.warm_ups.add(session)
            return
        self.all.add(session)
        if session.estimated:
            self.estimated.add(session)
        values = _values(session.best)
        amount = self.cube.get(values)
        if amount is None:
            amount = self.cube[values] = Amount()
        amount.add(session)

    def merge(self, other: Totals) -> None:
        """Adds other totals to these."""
        self.all.merge(other.all)
        self.warm_ups.merge(other.warm_ups)
        self.estimated.merge(other.estimated)
        for values, amount in other.cube.items():
            self.cube.setdefault(values, Amount()).merge(amount)

    def by(self, *grouping: str) -> dict[tuple[str, ...], Amount]:
        """The amounts by the values of these dimensions, sorted by them."""
        columns = [DIMENSIONS.index(name) for name in grouping]
        table: dict[tuple[str, ...], Amount] = defaultdict(Amount)
        for values, amount in self.cube.items():
            table[tuple(values[column] for column in columns)].merge(amount)
        return dict(sorted(table.items()))

    def as_json(self) -> dict[str, object]:
        """As it stands in a manifest: the sum, warm-ups, estimates, and a list per grouping."""
        return {
            **self.all.as_json(),
            "warm_ups": self.warm_ups.as_json(),
            "estimated": self.estimated.as_json(),
            **{"by_" + "_and_".join(names): _rows(names, self.by(*names)) for names in GROUPINGS},
        }


def _rows(grouping: tuple[str, ...], table: dict[tuple[str, ...], Amount]) -> list[object]:
    return [
        {**dict(zip(grouping, values, strict=True)), **amount.as_json()}
        for values, amount in table.items()
    ]


def total(sessions: Iterable[Session]) -> Totals:
    """The totals of these sessions."""
    totals = Totals()
    for session in sessions:
        totals.add(session)
    return totals


def merged(parts: Iterable[Totals]) -> Totals:
    """The sum of several totals."""
    whole = Totals()
    for part in parts:
        whole.merge(part)
    return whole
