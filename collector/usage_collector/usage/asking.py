"""What is asked of the usage: days and groupings, read with clear errors."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import unquote

from usage_collector.errors import InvalidInput
from usage_collector.usage.states import LABELS

DATES = {"day": len("YYYY-MM-DD"), "month": len("YYYY-MM")}
"""Groups by date, and how much of a day's text they are."""
GROUPS = (*DATES, *LABELS)
"""What `group_by` may name."""
DIMENSION = "dimension:"
"""Or this with the name of a dimension of the events behind it."""
_MOST_GROUPS = 16
EPOCH = date(1970, 1, 1)
FIRST_DAY = (date.min - EPOCH).days
"""The first day that can be written."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Query:
    """Days since the Unix epoch, both inclusive; ``since`` None: from the first there is.

    ``customer`` is the id of the one whose usage is asked for; None: everybody's.
    """

    since: int | None
    until: int
    group_by: tuple[str, ...] = ()
    customer: str | None = None


def query(
    since: str | None, until: str | None, group_by: str | None, today: int, longest: int = 0
) -> Query:
    """What is asked for, of at most so many days where ``longest`` says so.

    Today is never in it (https://docs.speechmatics.com, usage of the API).

    Raises:
        InvalidInput: names the parameter and what it may be.
    """
    first = None if since is None else _day("since", since)
    last = today - 1 if until is None else _day("until", until)
    if first is not None and until is not None and first > last:
        raise InvalidInput(f"since {since} is after until {until}", "swap the two")
    last = min(last, today - 1)
    if longest and first is not None and last - first >= longest:
        raise InvalidInput(f"since {since} is too long ago", f"ask for at most {longest} days")
    return Query(first, last, _groups(group_by))


def last_days(until: int, days: int) -> Query:
    """So many days up to that one."""
    return Query(max(until - days + 1, FIRST_DAY), until)


def text(day: int) -> str:
    """A day since the Unix epoch as ``YYYY-MM-DD``."""
    return (EPOCH + timedelta(days=day)).isoformat()


def number(day: str) -> int:
    """The reverse of `text`; `ValueError` for what is no date."""
    return (date.fromisoformat(day) - EPOCH).days


def _day(name: str, value: str) -> int:
    with suppress(ValueError):
        if _DATE.fullmatch(value):
            return number(value)
    raise InvalidInput(f"{name}: {value[:40]!r} is no date", "write YYYY-MM-DD")


def _groups(value: str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    names = tuple(map(_group, value.split(",")))
    if len(set(names)) < len(names):
        raise InvalidInput(f"group_by: {value[:80]!r} names a group twice", "name it once")
    if len(names) > _MOST_GROUPS:
        raise InvalidInput("group_by: too many groups", f"use {_MOST_GROUPS} at most")
    return names


def _group(name: str) -> str:
    if name.startswith(DIMENSION) and name != DIMENSION:
        # A comma in a name is written %2C.
        return unquote(name)
    if name not in GROUPS:
        raise InvalidInput(
            f"group_by: {name[:40]!r} is no group",
            f"use some of {', '.join(GROUPS)}, or {DIMENSION}NAME",
        )
    return name
