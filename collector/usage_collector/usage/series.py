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
from usage_collector.usage.answering import OTHER, is_other
from usage_collector.usage.asking import text
from usage_collector.usage.folding import add
from usage_collector.usage.grouping import grouped
from usage_collector.usage.states import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from usage_collector.usage.asking import Query
    from usage_collector.usage.customers import Register
    from usage_collector.usage.grouping import Table
    from usage_collector.usage.store import Store

BY = tuple(name for name in LABELS if name != "contract")
"""What there can be series of."""


@dataclass(slots=True)
class Series:
    """One of `BY` with its sums (`answering.Table`) of all days.

    ``labels`` are all that events call it; ``name`` and ``known`` are those of a customer.
    """

    value: str
    name: str
    known: bool = True
    total: list[int] = field(default_factory=lambda: [0] * 5)
    labels: list[tuple[str, ...]] = field(default_factory=list)


def read_by(word: str) -> str:
    """What the series are of; `InvalidInput` where there are none."""
    if word not in BY:
        raise InvalidInput(f"by: {word[:40]!r} is not possible", f"use one of {', '.join(BY)}")
    return word


def answer(store: Store, query: Query, by: str, top: int, register: Register) -> dict[str, Any]:
    """Hours and counts of each day from the query's first (there must be one) to its last, by `BY`.

    A customer is who the register says it is, and ``known`` where it says so.
    """
    labels = ("customer", "contract") if by == "customer" else (by,)
    with store.reading() as connection:
        totals = grouped(connection, store, query, labels)
        ranked = of_customers(totals, register) if by == "customer" else of_values(totals, by)
        # Days of those only that are shown: there may be ten thousand customers.
        shown = {label for one in ranked[:top] for label in one.labels}
        places = [LABELS.index(name) for name in labels]
        some = grouped(
            connection,
            store,
            query,
            ("day", *labels),
            lambda row: tuple(row[place] for place in places) in shown,
        )
        every = grouped(connection, store, query, ("day", "zone")) if len(ranked) > top else {}
    first = query.since or 0
    return {
        "since": text(first),
        "until": text(query.until),
        "by": by,
        **shaped(ranked, top, some, every, range(first, query.until + 1)),
    }


def of_values(totals: Table, by: str) -> list[Series]:
    """The series of a table by that label, most hours first."""
    found: dict[str, Series] = {}
    for label, sums in totals.items():
        (value,) = label
        strange = by == "format" and is_other(value)
        name = OTHER if strange else value
        _take(found.setdefault(name, Series(name, name)), label, sums)
    return _ranked(found.values())


def of_customers(totals: Table, register: Register) -> list[Series]:
    """The series of a table by customer and contract, most hours first."""
    found: dict[tuple[str, bool], Series] = {}
    for label, sums in totals.items():
        customer = register.of(*label)
        id_, name = (customer.id, customer.details.name) if customer else (label[0], label[0])
        known = customer is not None
        _take(found.setdefault((id_, known), Series(id_, name, known)), label, sums)
    return _ranked(found.values())


def shaped(
    ranked: Sequence[Series], top: int, some: Table, every: Table, days: range
) -> dict[str, Any]:
    """So many of them, what the others come to, and all together.

    ``some`` are sums by day and label of those, and ``every`` of all, by day and anything.
    """
    rest: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
    for (day, *_), sums in every.items():
        add(rest[day], sums)
    shown = [_columns(one, some, days, rest) for one in ranked[:top]]
    others = Series("", "")
    for one in ranked[top:]:
        add(others.total, one.total)
    together = [*others.total]
    for one in ranked[:top]:
        add(together, one.total)
    return {
        "totals": _sums(together),
        "series": shown,
        "others": {
            "values": len(ranked) - top,
            **_sums(others.total),
            **_days([rest[text(day)] for day in days]),
        }
        if len(ranked) > top
        else None,
    }


def _take(series: Series, label: tuple[str, ...], sums: Sequence[int]) -> None:
    add(series.total, sums)
    series.labels.append(label)


def _ranked(found: Iterable[Series]) -> list[Series]:
    return sorted(found, key=lambda one: (-one.total[1], one.value))


def _columns(
    one: Series, some: Table, days: range, rest: dict[str, list[int]]
) -> dict[str, object]:
    """A series as the answer has it, whose days are taken out of the rest."""
    nothing = [0] * 5
    columns = []
    for day in map(text, days):
        sums = [0] * 5
        for label in one.labels:
            add(sums, some.get((day, *label), nothing))
        add(rest[day], [-value for value in sums])
        columns.append(sums)
    return {
        "value": one.value,
        "name": one.name,
        "known": one.known,
        **_sums(one.total),
        **_days(columns),
    }


def _days(columns: Iterable[Sequence[int]]) -> dict[str, object]:
    listed = list(columns)
    return {"hours": [_hours(day[1]) for day in listed], "counts": [day[0] for day in listed]}


def _sums(sums: list[int]) -> dict[str, object]:
    return {
        "count": sums[0],
        "duration_hrs": _hours(sums[1]),
        "estimated_count": sums[3],
        "estimated_hrs": _hours(sums[4]),
    }


def _hours(duration: int) -> float:
    return round(duration / HOUR, 6)
