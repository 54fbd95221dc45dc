"""Usage by customer and month, for invoices."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from usage_collector.sessions import HOUR
from usage_collector.usage.answering import is_other
from usage_collector.usage.folding import add
from usage_collector.usage.grouping import grouped, tables

if TYPE_CHECKING:
    from usage_collector.usage.asking import Query
    from usage_collector.usage.customers import Register
    from usage_collector.usage.grouping import Table
    from usage_collector.usage.store import Store

Line = dict[str, object]
_INVOICES = ("month", "customer", "contract", "mode", "type")


def monthly(
    store: Store, query: Query, register: Register, only: str | None = None
) -> tuple[int | None, list[Line]]:
    """A line for each month, customer, mode and type; of one customer only where one is named.

    A customer that is not registered stands under what the events call it, and is not ``known``.
    With that: the first of these days of which there is anything, whose ever it is.
    """
    with store.reading() as connection:
        first, (found,) = tables(connection, store, query, [_INVOICES])
    table: Table = defaultdict(lambda: [0] * 5)
    for (month, field, contract, mode, type_), sums in found.items():
        customer = register.of(field, contract)
        id_ = field if customer is None else customer.id
        if only is None or (customer is not None and id_ == only):
            known = "" if customer is None else "known"
            add(table[month, known, id_, mode, type_], sums)
    lines: list[Line] = [
        {
            "month": month,
            "customer": id_,
            "name": register.customers[id_].details.name if known else id_,
            "known": bool(known),
            "mode": mode,
            "type": type_,
            "count": sums[0],
            "duration_hrs": round(sums[1] / HOUR, 6),
            "speech_hrs": round(sums[2] / HOUR, 6),
            "estimated_count": sums[3],
            "estimated_hrs": round(sums[4] / HOUR, 6),
        }
        for (month, known, id_, mode, type_), sums in sorted(table.items())
    ]
    return first, lines


def other_formats(
    store: Store, query: Query, register: Register, only: str | None = None
) -> list[Line]:
    """What each customer used in formats that nobody knows: misspelt ones, or new engines."""
    with store.reading() as connection:
        found = grouped(connection, store, query, ("format", "customer", "contract"))
    names: dict[str, set[str]] = defaultdict(set)
    for format_, field, contract in found:
        customer = register.of(field, contract)
        id_ = field if customer is None else customer.id
        if is_other(format_) and (only is None or (customer is not None and id_ == only)):
            names[id_].add(format_)
    return [{"customer": id_, "formats": sorted(some)} for id_, some in sorted(names.items())]


def unknown(store: Store, query: Query, register: Register) -> list[Line]:
    """What events call customers that are not registered, with what they used."""
    with store.reading() as connection:
        found = grouped(connection, store, query, ("customer", "contract"))
    return [
        {
            "customer_id": field,
            "contract_id": contract,
            "count": sums[0],
            "duration_hrs": round(sums[1] / HOUR, 6),
        }
        for (field, contract), sums in sorted(found.items())
        if register.of(field, contract) is None
    ]
