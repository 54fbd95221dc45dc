"""Usage by day in columns: one series for each zone, customer or format, as plots need it.

Only those with most hours have a series of their own, so that an answer stays small with any
number of customers; what the others used is one series more.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from usage_collector.errors import InvalidInput
from usage_collector.sessions import HOUR
from usage_collector.usage.answering import FORMATS, OTHER, grouped
from usage_collector.usage.asking import Query, number, text
from usage_collector.usage.folding import add
from usage_collector.usage.states import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from usage_collector.usage.answering import Table
    from usage_collector.usage.customers import Register
    from usage_collector.usage.store import Store

BY = tuple(name for name in LABELS if name != "contract")
"""What there can be series of."""


@dataclass(slots=True)
class Series:
    """Sums (`answering.Table`) by day since the Unix epoch of one ``value``; None: of the others.

    ``name`` and ``known`` are those of a customer.
    """

    value: str | None
    name: str = ""
    known: bool = True
    days: dict[int, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0] * 5))

    @property
    def total(self) -> list[int]:
        """The sums of all days."""
        sums = [0] * 5
        for day in self.days.values():
            add(sums, day)
        return sums


def read_by(word: str) -> str:
    """What the series are of; `InvalidInput` where there are none."""
    if word not in BY:
        raise InvalidInput(f"by: {word[:40]!r} is not possible", f"use one of {', '.join(BY)}")
    return word


def answer(store: Store, query: Query, by: str, top: int, register: Register) -> dict[str, Any]:
    """Hours and counts of each day from the query's first to its last, by `BY`, most hours first.

    A customer is who the register says it is, and ``known`` where it says so.
    """
    first = query.since or 0
    names = ("day", "customer", "contract") if by == "customer" else ("day", by)
    with store.reading() as connection:
        table = grouped(connection, store, query, names)
    found = of_customers(table, register) if by == "customer" else of_values(table, by)
    days = range(first, query.until + 1)
    return {
        "since": text(first),
        "until": text(query.until),
        "by": by,
        **shaped(found, days, top),
    }


def of_values(table: Table, by: str) -> list[Series]:
    """The series of a table by day and that label."""
    found: dict[str, Series] = {}
    for (day, value), sums in table.items():
        strange = by == "format" and value and value not in FORMATS
        name = OTHER if strange else value
        add(found.setdefault(name, Series(name, name)).days[number(day)], sums)
    return list(found.values())


def of_customers(table: Table, register: Register) -> list[Series]:
    """The series of a table by day, customer and contract."""
    found: dict[tuple[str, bool], Series] = {}
    for (day, value, contract), sums in table.items():
        customer = register.of(value, contract)
        id_, name = (customer.id, customer.details.name) if customer else (value, value)
        known = customer is not None
        series = found.setdefault((id_, known), Series(id_, name, known))
        add(series.days[number(day)], sums)
    return list(found.values())


def shaped(found: Iterable[Series], days: range, top: int) -> dict[str, Any]:
    """So many of them, most hours first, what the others come to, and all together."""
    ranked = sorted(found, key=lambda one: (-one.total[1], one.value or ""))
    others = ranked[top:]
    return {
        "totals": _sums(_joined(ranked).total),
        "series": [
            {"value": one.value, "name": one.name, "known": one.known, **_columns(one, days)}
            for one in ranked[:top]
        ],
        "others": {"values": len(others), **_columns(_joined(others), days)} if others else None,
    }


def _joined(some: Iterable[Series]) -> Series:
    joined = Series(None)
    for one in some:
        for day, sums in one.days.items():
            add(joined.days[day], sums)
    return joined


def _columns(one: Series, days: range) -> dict[str, object]:
    nothing = [0] * 5
    sums = [one.days.get(day, nothing) for day in days]
    return {
        **_sums(one.total),
        "hours": [_hours(day[1]) for day in sums],
        "counts": [day[0] for day in sums],
    }


def _sums(sums: list[int]) -> dict[str, object]:
    return {
        "count": sums[0],
        "duration_hrs": _hours(sums[1]),
        "estimated_count": sums[3],
        "estimated_hrs": _hours(sums[4]),
    }


def _hours(duration: int) -> float:
    return round(duration / HOUR, 6)
