"""The flags that say when a month's report is due."""

from __future__ import annotations

from datetime import date, time
from typing import TYPE_CHECKING, TypeVar
from zoneinfo import ZoneInfo

import click

from usage_collector.errors import InvalidInput
from usage_collector.periods import Due

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_F = TypeVar("_F", bound="Callable[..., object]")
LAST_WORKING_DAY = "LastWorkingDay"

_OPTIONS = (
    click.option(
        "--day",
        default=LAST_WORKING_DAY,
        show_default=True,
        help="LastWorkingDay of the month, or 1 to 28 of the following one.",
    ),
    click.option("--at", default="06:00", show_default=True, help="Time of that day, HH:MM."),
    click.option("--time-zone", default="Etc/UTC", show_default=True, help="Zone of that time."),
    click.option(
        "--country",
        help="Country whose weekends and public holidays are no working days, e.g. DE.  "
        "[default: Saturdays and Sundays]",
    ),
    click.option("--holiday", "holidays", multiple=True, help="Another such day, YYYY-MM-DD."),
)


def due_options(command: _F) -> _F:
    """Adds the flags; the command gets them as ``day, at, time_zone, country, holidays``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def rule(day: str, at: str, time_zone: str, country: str | None, holidays: Sequence[str]) -> Due:
    """The rule that the flags state; `InvalidInput` names the flag that cannot be used."""
    return Due(
        day="LastWorkingDay" if day == LAST_WORKING_DAY else _number(day),
        at=_time(at),
        zone=_zone(time_zone),
        country=country or None,
        dates=frozenset(map(_date, holidays)),
    )


def _number(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    raise InvalidInput(f"--day {text!r} is not possible", "LastWorkingDay, or 1 to 28")


def _time(text: str) -> time:
    try:
        at = time.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo:
        raise InvalidInput(f"--at {text!r} is no time", "write HH:MM, e.g. 06:00; see --time-zone")
    return at


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise InvalidInput(
            f"--time-zone {text!r} is not known", "write e.g. Europe/Berlin or Etc/UTC"
        ) from None


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"--holiday {text!r} is no date", "write YYYY-MM-DD") from None
