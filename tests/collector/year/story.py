"""A year in the field, made up: what is sent where and when, and what it must come to.

The count here is the story's own: it knows each job and session, and asks no product code what
counts. Pure; times are µs.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from usage_collector.simulate import Plan, timeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from usage_collector.simulate.field import Told

YEAR = 2026
ZONES = ("eu-1a", "eu-1b", "eu-1c")
SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
SKEWS = (0, 0, 0, 9000 * SECOND, -26 * HOUR, -400 * DAY)
"""How far the clocks of batch engines are off."""
AWAY, AWAY_MONTH = 2, 4
"""The zone that is down for a week around the end of this month."""
LOST, LOST_MONTH = 1, 8
"""The zone whose volume is lost on the 12th of this month."""
RESTORED, RESTORED_MONTH = 2, 10
"""Another one whose volume is lost, and restored from a backup of two days before."""


def at(month: int, day: int, hour: int = 0) -> int:
    """A moment of the year."""
    return round(datetime(YEAR, month, day, hour, tzinfo=UTC).timestamp()) * SECOND


def due(month: int) -> int:
    """Six o'clock on the month's last working day."""
    day = datetime(YEAR + month // 12, month % 12 + 1, 1, 6, tzinfo=UTC) - timedelta(days=1)
    while day.weekday() > 4:
        day -= timedelta(days=1)
    return round(day.timestamp()) * SECOND


AWAY_SINCE, AWAY_UNTIL = due(AWAY_MONTH) - 3 * DAY, due(AWAY_MONTH) + 4 * DAY
LOST_SINCE, LOST_AT = due(LOST_MONTH - 1), at(LOST_MONTH, 12)
BACKED_UP_AT, RESTORED_AT = at(RESTORED_MONTH, 10), at(RESTORED_MONTH, 12)


@dataclass(frozen=True, slots=True)
class Sent:
    """One event on its way: when it arrives, in which zone, and what of it counts."""

    at: int
    zone: int
    raw: bytes
    session: str
    customer: str
    final: bool
    duration: int | None
    warm_up: bool


@dataclass(slots=True)
class Count:
    """What all of it must come to, each job and session once."""

    best: dict[str, int] = field(default_factory=dict)
    customers: dict[str, str] = field(default_factory=dict)
    warm_ups: set[str] = field(default_factory=set)
    implausible: int = 0

    def add(self, sent: Sent) -> None:
        """An event that some collector has, and will not lose."""
        if sent.warm_up:
            self.warm_ups.add(sent.session)
        elif sent.duration is None:
            self.implausible += 1
        else:
            self.best[sent.session] = max(self.best.get(sent.session, 0), sent.duration)
            self.customers[sent.session] = sent.customer

    @property
    def duration(self) -> int:
        """Of all of them, in µs."""
        return sum(self.best.values())

    def by_customer(self) -> dict[str, int]:
        """How many jobs and sessions each customer had."""
        found: dict[str, int] = defaultdict(int)
        for customer in self.customers.values():
            found[customer] += 1
        return dict(found)


def is_lost(sent: Sent) -> bool:
    """Whether it was acknowledged by a volume that was lost, and neither exported nor copied."""
    if sent.zone == RESTORED and BACKED_UP_AT < sent.at <= RESTORED_AT:
        return True
    return sent.zone == LOST and LOST_SINCE < sent.at <= LOST_AT


def tell(jobs: int, sessions: int, seed: int) -> Iterator[Sent]:
    """Everything that is sent in the year, in no order."""
    rng = Random(seed)
    start, span = at(1, 1, 1), due(12) - 12 * DAY - at(1, 1, 1)
    plan = Plan(jobs, sessions, start, span, lost=0.05)
    skews = dict[str, int]()
    for told in timeline(plan, rng):
        yield from _on_the_way(told, rng, skews)
    for month in range(1, 12):  # engines start anew, and sessions are alive while a cut is made
        around = Plan(0, 6, due(month) - 30 * MINUTE, HOUR, lost=0.3)
        for told in timeline(around, rng):
            yield from _on_the_way(told, rng, skews)


def _on_the_way(told: Told, rng: Random, skews: dict[str, int]) -> Iterator[Sent]:
    body = json.loads(told.raw)
    if told.kind == "TRANSCRIBER_DONE":
        skew = skews.setdefault(body["container_id"], SKEWS[len(skews) % len(SKEWS)])
        shown = datetime.fromtimestamp((told.at + skew) / SECOND, UTC)
        body["time_stamp"] = f"{shown:%Y-%m-%dT%H:%M:%S}.{told.at % SECOND // 1000:03}Z"
    moment, zone, chance = told.at + rng.randrange(SECOND), rng.randrange(3), rng.random()
    final = told.kind != "SESSION_STATUS"
    if final and chance < (0.15 if told.kind == "SESSION_ENDED" else 0.02):
        moment += rng.randrange(DAY, 9 * DAY)  # heard of only days later, perhaps after the cut
    yield _sent(body, told, moment, zone)
    if chance > 0.94:  # the answer got lost: sent again, to the same zone
        yield _sent(body, told, moment + rng.randrange(5 * MINUTE), zone)
    elif chance > 0.90:  # or to another one, at once or from a queue that was stuck
        longest = 5 * MINUTE if chance > 0.91 or told.warm_up else 9 * DAY
        again = moment + rng.randrange(longest)
        if moment <= LOST_SINCE < again:
            # What a lost volume had counted nobody can tell: it would count again, as the gap says.
            again = moment
        yield _sent(body, told, again, (zone + 1) % 3)
    elif final and chance > 0.895:  # ended twice, with another duration
        longer = told.duration + rng.randrange(1, 10**6) * 1000
        # Within one period: what was reported is not changed by an end that comes later.
        apart = not AWAY_SINCE <= moment < AWAY_UNTIL + DAY
        other = (zone + 1) % 3 if apart else zone
        yield _sent(_with(body, longer / SECOND), told, moment, other, longer)
    elif told.kind == "TRANSCRIBER_DONE" and chance > 0.885 and not told.warm_up:
        # Impossible at first; told as it was only weeks later.
        yield _sent(_with(body, -5), told, moment - 20 * DAY, zone, None)


def _with(body: dict[str, Any], seconds: float) -> dict[str, Any]:
    specific = {**body["event_specific_data"], "total_received_duration": seconds}
    return {**body, "event_specific_data": specific}


_AS_TOLD = -1


def _sent(
    body: dict[str, Any], told: Told, moment: int, zone: int, duration: int | None = _AS_TOLD
) -> Sent:
    moment = max(moment, at(1, 1, 1))
    if zone == AWAY and AWAY_SINCE <= moment < AWAY_UNTIL:
        zone = (zone + 1) % 3
    return Sent(
        at=moment,
        zone=zone,
        raw=json.dumps(body, separators=(",", ":")).encode(),
        session=told.session,
        customer=body["customer_id"],
        final=told.kind != "SESSION_STATUS",
        duration=told.duration if duration == _AS_TOLD else duration,
        warm_up=told.warm_up,
    )
