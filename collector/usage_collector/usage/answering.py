"""Sums of the day index as people and programs ask for them."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from usage_collector.sessions import HOUR
from usage_collector.usage.asking import DIMENSION, text
from usage_collector.usage.crowding import CROWD, NOTHING
from usage_collector.usage.customers import NOBODY, Register
from usage_collector.usage.folding import add
from usage_collector.usage.grouping import tables
from usage_collector.usage.states import LABELS, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from usage_collector.usage.asking import Query
    from usage_collector.usage.grouping import Table
    from usage_collector.usage.store import Store

DETAILS = ("mode", "type", "language", "operating_point")
_SUMMARY = ("mode", "type")
_OPTIONAL = DETAILS[len(_SUMMARY) :]
_AMOUNTS = ("count", "duration_hrs")
_MORE = ("speech_hrs", "estimated_count", "estimated_hrs")
MOST_GROUPS = 50_000
"""In one answer, which takes some 40 MB then."""
FORMATS = frozenset(
    "wav mp3 aac ogg mpeg amr m4a mp4 flac pcm_f32le pcm_s16le mulaw".split()  # noqa: SIM905
)
"""What the engines are known to read; anything else is counted as `OTHER`."""
OTHER = "other"


def answer(store: Store, query: Query, register: Register = NOBODY) -> dict[str, object]:
    """The usage of these days, as `GET /v2/usage` answers; with ``groups`` where asked for.

    Raises:
        InvalidInput: there are too many groups.
    """
    groupings = [DETAILS, *([query.group_by] if query.group_by else [])]
    only = None if query.customer is None else _whose(register, query.customer)
    with store.reading() as connection:
        first, (details, *asked) = tables(connection, store, query, groupings, only, MOST_GROUPS)
    since = query.since if first is None else first
    answered: dict[str, object] = {
        "since": text(since or 0),
        "until": text(query.until),
        "summary": rows(_SUMMARY, _rolled(details, len(_SUMMARY))) or None,
        "details": [_told(line) for line in rows(DETAILS, details)] or None,
    }
    for table in asked:
        groups, others = _known(table, query.group_by)
        answered.update(others)
        answered["groups"] = rows(query.group_by, groups, more=True) or None
    return answered


def _told(line: dict[str, object]) -> dict[str, object]:
    """A line without the language or operating point that its jobs have none of, as documented.

    https://docs.speechmatics.com, usage of the API: an alignment has no operating point.
    """
    return {name: value for name, value in line.items() if value or name not in _OPTIONAL}


def is_other(name: str) -> bool:
    """Whether a format is one that nobody knows; not those that were not told, or were lost."""
    return name not in FORMATS and name not in ("", UNKNOWN)


def _known(table: Table, names: Sequence[str]) -> tuple[Table, dict[str, list[str]]]:
    """The table with the formats that nobody knows as one, and so values that are too many.

    With that: how these formats and dimensions are called. A format that was not told stays "".
    """
    others: dict[str, set[str]] = defaultdict(set)
    for at, name in enumerate(names):
        if name == "format":
            strange = {key[at] for key in table if is_other(key[at])}
            others["other_formats"] |= strange
        elif name.startswith(DIMENSION):
            strange = {CROWD} & {key[at] for key in table}
            others["other_dimensions"] |= {name.removeprefix(DIMENSION)} if strange else set()
        else:
            continue
        if strange:
            table = _renamed(table, at, strange)
    return table, {name: sorted(some) for name, some in others.items() if some}


def _renamed(table: Table, at: int, strange: Container[str]) -> Table:
    renamed: Table = defaultdict(lambda: [0] * 5)
    for key, sums in table.items():
        name = OTHER if key[at] in strange else key[at]
        add(renamed[(*key[:at], name, *key[at + 1 :])], sums)
    return renamed


def rows(names: Sequence[str], table: Table, *, more: bool = False) -> list[dict[str, object]]:
    """A table as the API lists it, sorted by its groups; with ``more`` of speech and estimates."""
    heads = (*names, *_AMOUNTS, *(_MORE if more else ()))
    told = any(name.startswith(DIMENSION) for name in names)
    listed: list[dict[str, object]] = []
    for key in sorted(table):
        count, duration, speech, estimated, estimated_duration = table[key]
        values = [None if value == NOTHING else value for value in key] if told else key
        cells: tuple[object, ...] = (*values, count, _hours(duration))
        if more:
            cells = (*cells, _hours(speech), estimated, _hours(estimated_duration))
        listed.append(dict(zip(heads, cells, strict=True)))
    return listed


def _hours(duration: int) -> float:
    return round(duration / HOUR, 6) if duration else 0.0


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


def _whose(register: Register, id_: str) -> Callable[[Sequence[str]], bool]:
    """Whether labels are those of that customer."""
    customer, contract = LABELS.index("customer"), LABELS.index("contract")

    def is_its(row: Sequence[str]) -> bool:
        owner = register.of(row[customer], row[contract])
        return owner is not None and owner.id == id_

    return is_its


def _rolled(table: Table, length: int) -> Table:
    """The same by the first groups only."""
    rolled: Table = defaultdict(lambda: [0] * 5)
    for key, sums in table.items():
        add(rolled[key[:length]], sums)
    return rolled


def flat(answered: Mapping[str, Any]) -> list[Mapping[str, object]]:
    """The lines of an answer for a table: its groups where asked for, its details otherwise."""
    if "groups" in answered:
        return list(answered["groups"] or ())
    return [{**dict.fromkeys(DETAILS, ""), **line} for line in answered["details"] or ()]
