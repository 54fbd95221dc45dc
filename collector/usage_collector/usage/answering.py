"""Sums of the day index as people and programs ask for them."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

from usage_collector.sessions import HOUR
from usage_collector.usage.asking import EPOCH, text
from usage_collector.usage.customers import NOBODY, Register
from usage_collector.usage.folding import add
from usage_collector.usage.schema import DETAILS, GROUPINGS
from usage_collector.usage.states import LABELS, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import apsw

    from usage_collector.usage.asking import Query
    from usage_collector.usage.store import Store

_SUMMARY = ("mode", "type")
_WHOSE = ("customer", "contract")
FORMATS = frozenset(
    "wav mp3 aac ogg mpeg amr m4a mp4 flac pcm_f32le pcm_s16le mulaw".split()  # noqa: SIM905
)
"""What the engines are known to read; anything else is counted as `OTHER`."""
OTHER = "other"
_DATES = frozenset({"day", "month"})
_SUMMED = "sum(count), sum(duration), sum(speech), sum(estimated), sum(estimated_duration)"
Table = dict[tuple[str, ...], list[int]]
"""Values of the groups to sums: how many, their duration and speech (µs), estimates of these."""


def answer(store: Store, query: Query, register: Register = NOBODY) -> dict[str, object]:
    """The usage of these days, as `GET /v2/usage` answers; with ``groups`` where asked for."""
    count = partial(_counted, store, query, register)
    with store.reading() as connection:
        first = _first_day(connection, query, count)
        details = count(connection, DETAILS)
        table = count(connection, query.group_by) if query.group_by else None
    since = first if first is not None else query.since
    answered: dict[str, object] = {
        "since": text(since or 0),
        "until": text(query.until),
        "summary": rows(_SUMMARY, _rolled(details, len(_SUMMARY))) or None,
        "details": rows(DETAILS, details) or None,
    }
    if table is not None:
        groups, others = _known(table, query.group_by)
        if others:
            answered["other_formats"] = others
        answered["groups"] = [
            {**row, **_more(groups[key])}
            for row, key in zip(rows(query.group_by, groups), sorted(groups), strict=True)
        ] or None
    return answered


def is_other(name: str) -> bool:
    """Whether a format is one that nobody knows; not those that were not told, or were lost."""
    return name not in FORMATS and name not in ("", UNKNOWN)


def _known(table: Table, names: Sequence[str]) -> tuple[Table, list[str]]:
    """The table with the formats that nobody knows as one, and how these are called.

    A format that was not told stays "".
    """
    if "format" not in names:
        return table, []
    at, others = names.index("format"), set()
    known: Table = defaultdict(lambda: [0] * 5)
    for key, sums in table.items():
        name = key[at]
        if is_other(name):
            others.add(name)
            name = OTHER
        add(known[(*key[:at], name, *key[at + 1 :])], sums)
    return known, sorted(others)


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


def _first_day(
    connection: apsw.Connection, query: Query, count: Callable[..., Table]
) -> int | None:
    if query.customer is not None:
        days = [date.fromisoformat(day) for (day,) in count(connection, ("day",))]
        return (min(days) - EPOCH).days if days else None
    found: list[Any] = connection.execute(
        "SELECT min(day) FROM daily WHERE grouping = 0 AND day BETWEEN ? AND ? AND count > 0",
        (_since(query), query.until),
    ).fetchall()
    first: int | None = found[0][0]
    return first


def _counted(
    store: Store,
    query: Query,
    register: Register,
    connection: apsw.Connection,
    names: Sequence[str],
) -> Table:
    """The sums by these groups, of the customer alone where one is asked for."""
    if query.customer is None:
        return grouped(connection, store, query, names)
    table: Table = defaultdict(lambda: [0] * 5)
    for key, sums in grouped(connection, store, query, (*_WHOSE, *names)).items():
        owner = register.of(*key[:2])
        if owner is not None and owner.id == query.customer:
            add(table[key[2:]], sums)
    return table


def grouped(connection: apsw.Connection, store: Store, query: Query, names: Sequence[str]) -> Table:
    """The sums by these groups."""
    labels = {*names} - _DATES
    by_day = len(labels) < len(names)
    columns: tuple[str, ...] = LABELS
    number = next((n for n, kept in enumerate(GROUPINGS) if labels <= {*kept}), None)
    if number is not None:
        # The numbers come with the day first, as they are stored.
        found: Iterable[Any] = connection.execute(
            f"SELECT {'day' if by_day else '0'}, value, {_SUMMED} FROM daily "  # noqa: S608
            "WHERE grouping = ? AND day BETWEEN ? AND ? GROUP BY 1, 2 HAVING sum(count) > 0",
            (number, _since(query), query.until),
        )
        texts, columns = store.words.groups.rows, GROUPINGS[number]
    else:
        # One range of days for each combination of labels, in the order in which they are stored.
        keys = "labels.id, day" if by_day else "labels.id"
        found = connection.execute(
            f"SELECT day, labels.id, {_SUMMED} FROM labels CROSS JOIN amounts "  # noqa: S608
            "ON label = labels.id AND day BETWEEN ? AND ? AND warm_up = 0 "
            f"GROUP BY {keys} HAVING sum(count) > 0",
            (_since(query), query.until),
        )
        texts = store.words.labels.rows
    values = [_value(name, columns) for name in names]
    table: Table = defaultdict(lambda: [0] * 5)
    for day, label, *sums in found:
        add(table[tuple(value(day, texts[label]) for value in values)], sums)
    return table


def _value(name: str, columns: Sequence[str]) -> Callable[[int, Sequence[str]], str]:
    if name == "day":
        return lambda day, _: text(day)
    if name == "month":
        return lambda day, _: text(day)[:7]
    column = columns.index(name)
    return lambda _, labels: labels[column]


def _rolled(table: Table, length: int) -> Table:
    """The same by the first groups only."""
    rolled: Table = defaultdict(lambda: [0] * 5)
    for key, sums in table.items():
        add(rolled[key[:length]], sums)
    return rolled


def _since(query: Query) -> int:
    return -(2**40) if query.since is None else query.since


def flat(answered: Mapping[str, Any]) -> list[Mapping[str, object]]:
    """The lines of an answer for a table: its groups where asked for, its details otherwise."""
    lines = answered["groups"] if "groups" in answered else answered["details"]
    return list(lines or ())
