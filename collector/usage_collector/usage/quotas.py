"""Usage against quotas, now and by the month's end, for each customer that has one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from usage_collector.periods import Period, moment
from usage_collector.usage import limits
from usage_collector.usage.asking import Query, text
from usage_collector.usage.grouping import grouped
from usage_collector.usage.policy import NO_QUOTA
from usage_collector.usage.states import DAY

if TYPE_CHECKING:
    import apsw

    from usage_collector.usage.customers import Register
    from usage_collector.usage.policy import Policy
    from usage_collector.usage.store import Store

_LIVE = """
SELECT customer, contract, count(*) FROM sessions JOIN labels ON label = labels.id
WHERE due > ? AND NOT warm_up GROUP BY 1, 2
"""


@dataclass(slots=True)
class Used:
    """What a customer used: µs by day since the Unix epoch, and sessions that are alive."""

    days: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    live: int = 0


def days(now: int) -> Query:
    """The days that quotas and forecasts go by at ``now`` (µs): the month so far, some before."""
    today = now // DAY
    return Query(min(Period.of(moment(now)).start // DAY, today - limits.HISTORY_DAYS), today)


def lines(store: Store, register: Register, policy: Policy, now: int) -> list[dict[str, object]]:
    """A line for each customer with a plan or a quota, at ``now`` (µs), sorted by its id.

    One that has a quota in the policy and is not registered is who events call so.
    """
    with store.reading() as connection:
        used = _used(connection, store, register, days(now), now)
    standing = {id_ for id_, one in register.customers.items() if one.merged_into is None}
    unregistered = policy.quotas.keys() - register.customers.keys()
    return [
        _line(id_, register, policy, used[id_], now)
        for id_ in sorted(standing | unregistered)
        if policy.quota(id_, register)[1] != NO_QUOTA
    ]


def _used(
    connection: apsw.Connection, store: Store, register: Register, query: Query, now: int
) -> dict[str, Used]:
    used: dict[str, Used] = defaultdict(Used)
    by_day = grouped(connection, store, query, ("day", "customer", "contract"))
    for (day, name, contract), sums in by_day.items():
        customer = register.of(name, contract)
        number = (date.fromisoformat(day) - date(1970, 1, 1)).days
        used[customer.id if customer else name].days[number] += sums[1]
    live: list[Any] = connection.execute(_LIVE, (now,)).fetchall()
    for name, contract, count in live:
        customer = register.of(name, contract)
        used[customer.id if customer else name].live += count
    return used


def _line(id_: str, register: Register, policy: Policy, used: Used, now: int) -> dict[str, object]:
    today, month = now // DAY, Period.of(moment(now))
    so_far = limits.hours(sum(us for day, us in used.days.items() if day >= month.start // DAY))
    plan, quota = policy.quota(id_, register)
    known = register.customers.get(id_)
    return {
        "customer": id_,
        "name": known.details.name if known else id_,
        "plan": plan or None,
        "month": str(month),
        "used_hrs": so_far,
        "quota_hrs": quota.monthly_hours,
        "reached": limits.reached(so_far, quota.monthly_hours, policy.parts),
        "forecast": _forecast(used, so_far, month, now),
        "sessions": used.live,
        "quota_sessions": quota.concurrent_sessions,
        "sessions_reached": limits.reached(used.live, quota.concurrent_sessions, policy.parts),
        "as_of": text(today),
    }


def _forecast(used: Used, so_far: float, month: Period, now: int) -> dict[str, object] | None:
    today = now // DAY
    # The days before the first one that was used say nothing of those to come.
    first = max(min(used.days, default=today), today - limits.HISTORY_DAYS)
    history = [limits.hours(used.days.get(day, 0)) for day in range(first, today)]
    found = limits.forecast(so_far, history, now % DAY / DAY, month.end // DAY - today - 1)
    if found is None:
        return None
    return {name: round(hours, 6) for name, hours in found._asdict().items()}
