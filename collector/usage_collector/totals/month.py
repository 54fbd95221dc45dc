"""One month over all collectors: what counts, what came twice, what does not fit.

Pure: groups of uses in, tables out. A delivery is counted by this when it is made, and again when
it is verified.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from usage_collector.periods import Period, moment, rfc3339
from usage_collector.sessions import SECOND, awaited, resolve
from usage_collector.totals import Amount, Totals, merged
from usage_collector.totals.carrying import Carried, Pending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from usage_collector.sessions import Place, Session, Use

Line = dict[str, object]
"""A row of one of a manifest's lists."""
DAY = 86_400 * SECOND
UNKNOWN = "unknown"
"""The month and the day of what has no readable time."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an earlier period's report already counted; durations and times are µs."""

    identity: bytes
    period: str
    collector: str
    ledger: str
    position: int
    duration: int
    time: int | None
    estimated: bool = False

    @property
    def line(self) -> Line:
        """How lists name it."""
        return {
            "period": self.period,
            "collector": self.collector,
            "ledger": self.ledger,
            "position": self.position,
        }


@dataclass(slots=True)
class Month:
    """Counts a month's sessions, one identity at a time.

    ``counted_at`` (µs) is the moment that decides whether a session without an end is over;
    ``covered`` is the stretch of time (µs) of which everything received is in this month.
    """

    counted_at: int
    covered: tuple[int, int] = (0, 0)
    before: dict[str, Totals] = field(default_factory=lambda: defaultdict(Totals))
    after: Totals = field(default_factory=Totals)
    months: dict[str, Amount] = field(default_factory=lambda: defaultdict(Amount))
    days: dict[tuple[str, str, str], Amount] = field(default_factory=lambda: defaultdict(Amount))
    duplicates: list[Line] = field(default_factory=list)
    conflicts: list[Line] = field(default_factory=list)
    estimates: list[Line] = field(default_factory=list)
    corrections: list[Line] = field(default_factory=list)
    implausible: list[Line] = field(default_factory=list)
    carried: list[Line] = field(default_factory=list)
    pending: list[Line] = field(default_factory=list)

    def add(self, uses: Sequence[Use], earlier: Sequence[Earlier] = ()) -> None:
        """Counts everything that was received of one identity."""
        for use in uses:
            if use.implausible and not use.warm_up:
                self.implausible.append(
                    {"id": use.identity.hex(), **_place(use.place), "time": _time(use.time)}
                )
        session = resolve(uses, self.counted_at)
        if session is None:
            self._carry(uses, earlier)
            announced = awaited(uses)
            if announced and not earlier:
                self.pending.append(msgspec.to_builtins(Pending.of(announced)))
            return
        self._count_before(session, uses)
        if earlier:
            self._known(session, earlier)
            return
        self.after.add(session)
        self._list(session)
        if not session.warm_up:
            day = UNKNOWN if session.time is None else _day(session.time // DAY)
            self.months[day[:7]].add(session)
            self.days[day, session.best.zone, session.best.mode].add(session)

    def _carry(self, uses: Sequence[Use], earlier: Sequence[Earlier]) -> None:
        """Leaves a session that is still alive to the next period, which may hear no more of it."""
        known = [use for use in uses if use.counts]
        if known and not earlier:
            last = max(known, key=lambda one: (one.duration, one.place))
            self.carried.append(msgspec.to_builtins(Carried.of(last)))

    def _count_before(self, session: Session, uses: Sequence[Use]) -> None:
        """Counts it at every collector that received its end."""
        ends = {end.place.collector for end in session.finals}
        for collector in ends or {session.best.place.collector}:
            counted: Session | None = session
            if len(ends) > 1:
                own = [use for use in uses if use.place.collector == collector]
                counted = resolve(own, self.counted_at)
            if counted:
                self.before[collector].add(counted)

    def _known(self, session: Session, earlier: Sequence[Earlier]) -> None:
        """A session that an earlier period counted already."""
        ended = [one for one in earlier if not one.estimated]
        first = (ended or list(earlier))[0]
        line: Line = {
            "id": session.identity.hex(),
            **_place(session.best.place),
            "of": first.line,
        }
        if not ended:
            # The longest duration counts, and what was reported was heard of this session too.
            reported = max(one.duration for one in earlier)
            actual = max(session.duration, reported)
            self.corrections.append(
                {
                    **line,
                    "reported_seconds": reported / SECOND,
                    "actual_seconds": actual / SECOND,
                    "seconds": (actual - reported) / SECOND,
                }
            )
            return
        for use in session.finals or (session.best,):
            self.duplicates.append({**line, **_place(use.place), "identity": "billing"})
        if session.durations and session.durations != [first.duration]:
            seconds = sorted({*session.durations, first.duration})
            self.conflicts.append({**line, "seconds": [one / SECOND for one in seconds]})

    def _list(self, session: Session) -> None:
        if len(session.finals) == 1:
            return
        line: Line = {"id": session.identity.hex(), **_place(session.best.place)}
        if session.estimated:
            seconds = session.duration / SECOND
            self.estimates.append({**line, "seconds": seconds, "time": _time(session.time)})
        kept = next((end for end in session.finals if end is session.best), None)
        kept = kept or (session.finals[0] if session.finals else None)
        for end in session.finals:
            if end is not kept and kept:
                same = end.transport == kept.transport
                self.duplicates.append(
                    {
                        "id": session.identity.hex(),
                        **_place(end.place),
                        "identity": "transport" if same else "billing",
                        "of": _place(kept.place),
                    }
                )
        if len(session.durations) > 1:
            different = [one / SECOND for one in session.durations]
            self.conflicts.append({**line, "seconds": different})

    def month_lines(self, *, whole: bool) -> list[Line]:
        """The totals by calendar month of the ends' own time; ``whole`` if nothing is missing."""
        since, until = self.covered
        lines: list[Line] = []
        for name, amount in sorted(self.months.items()):
            period = Period.parse(name) if name != UNKNOWN else None
            complete = bool(whole and period and since <= period.start and period.end <= until)
            lines.append({"month": name, **amount.as_json(), "complete": complete})
        return lines

    @property
    def day_lines(self) -> list[Line]:
        """The totals by day (UTC) of the ends' own time, zone and mode."""
        return [
            {"day": day, "zone": zone, "mode": mode, **amount.as_json()}
            for (day, zone, mode), amount in sorted(self.days.items())
        ]

    @property
    def before_all(self) -> Totals:
        """The sum over the collectors, each for itself."""
        return merged(self.before.values())


def _place(place: Place) -> Line:
    return {"collector": place.collector, "ledger": place.ledger, "position": place.position}


def _time(us: int | None) -> str | None:
    return None if us is None else rfc3339(us)


@lru_cache(maxsize=1000)
def _day(number: int) -> str:
    return f"{moment(number * DAY):%Y-%m-%d}"
