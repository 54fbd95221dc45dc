"""Sums of the day index as people and programs ask for them."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from usage_collector.sessions import HOUR
from usage_collector.usage.asking import text
from usage_collector.usage.schema import DETAILS
from usage_collector.usage.states import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import apsw

    from usage_collector.usage.asking import Query
    from usage_collector.usage.store import Store

_SUMMARY = ("mode", "type")
_SUMMED = "sum(count), sum(duration), sum(speech), sum(estimated), sum(estimated_duration)"
Table = dict[tuple[str, ...], list[int]]
"""Values of the groups to a `store.Sums`."""


def answer(store: Store, query: Query) -> dict[str, object]:
    """The usage of these days, as `GET /v2/usage` answers; with ``groups`` where asked for."""
    with store.reading() as connection:
        first = _first_day(connection, query)
        details = _details(connection, store, query)
        groups = grouped(connection, store, query) if query.group_by else None
    since = first if first is not None else query.since
    answered: dict[str, object] = {
        "since": text(since or 0),
        "until": text(query.until),
        "summary": rows(_SUMMARY, _rolled(details, len(_SUMMARY))) or None,
        "details": rows(DETAILS, details) or None,
    }
    if groups is not None:
        answered["groups"] = [
            {**row, **_more(groups[key])}
            for row, key in zip(rows(query.group_by, groups), sorted(groups), strict=True)
        ] or None
    return answered


def rows(names: Sequence[str], table: Mapping[tuple[str, ...], Sequence[int]]) -> list[Any]:
    """A table as the API lists it, sorted by its groups."""
    return [
        {
            **dict(zip(names, key, strict=True)),
            "count": sums[0],
            "duration_hrs": round(sums[1] / HOUR, 6),
        }
        for key, sums in sorted(table.items())
    ]


def as_csv(lines: Iterable[Mapping[str, object]]) -> str:
    """The same lines as a table for spreadsheets (RFC 4180); a formula's first sign is defused."""
    listed = list(lines)
    out = io.StringIO()
    if listed:
        writer = csv.writer(out)
        writer.writerow(listed[0])
        writer.writerows([_cell(value) for value in line.values()] for line in listed)
    return out.getvalue()


def _cell(value: object) -> object:
    # https://owasp.org/www-community/attacks/CSV_Injection
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value


def _more(sums: Sequence[int]) -> dict[str, object]:
    return {
        "speech_hrs": round(sums[2] / HOUR, 6),
        "estimated_count": sums[3],
        "estimated_hrs": round(sums[4] / HOUR, 6),
    }


def _first_day(connection: apsw.Connection, query: Query) -> int | None:
    found: list[Any] = connection.execute(
        "SELECT min(day) FROM daily WHERE day BETWEEN ? AND ? AND count > 0",
        (_since(query), query.until),
    ).fetchall()
    first: int | None = found[0][0]
    return first


def _details(connection: apsw.Connection, store: Store, query: Query) -> Table:
    found: Iterable[Any] = connection.execute(
        f"SELECT detail, {_SUMMED} FROM daily WHERE day BETWEEN ? AND ? "  # noqa: S608
        "GROUP BY detail HAVING sum(count) > 0",
        (_since(query), query.until),
    )
    return {store.details.rows[detail]: sums for detail, *sums in found}


def grouped(connection: apsw.Connection, store: Store, query: Query) -> Table:
    """The sums by the groups asked for."""
    by_day = {"day", "month"} & {*query.group_by}
    keys = "day, label" if by_day else "0, label"
    found: Iterable[Any] = connection.execute(
        f"SELECT {keys}, {_SUMMED} FROM amounts "  # noqa: S608
        "WHERE day BETWEEN ? AND ? AND NOT warm_up GROUP BY 1, 2 HAVING sum(count) > 0",
        (_since(query), query.until),
    )
    table: Table = defaultdict(lambda: [0] * 5)
    values = [_value(name) for name in query.group_by]
    for day, label, *sums in found:
        labels = store.labels.rows[label][1:]
        _add(table[tuple(value(day, labels) for value in values)], sums)
    return table


def _value(name: str) -> Callable[[int, Sequence[str]], str]:
    if name == "day":
        return lambda day, _: text(day)
    if name == "month":
        return lambda day, _: text(day)[:7]
    column = LABELS.index(name)
    return lambda _, labels: labels[column]


def _rolled(table: Table, length: int) -> Table:
    """The same by the first groups only."""
    rolled: Table = defaultdict(lambda: [0] * 5)
    for key, sums in table.items():
        _add(rolled[key[:length]], sums)
    return rolled


def _add(into: list[int], sums: Sequence[int]) -> None:
    for index, value in enumerate(sums):
        into[index] += value


def _since(query: Query) -> int:
    return -(2**40) if query.since is None else query.since


def flat(answered: Mapping[str, Any]) -> list[Mapping[str, object]]:
    """The lines of an answer for a table: its groups where asked for, its details otherwise."""
    lines = answered["groups"] if "groups" in answered else answered["details"]
    return list(lines or ())
