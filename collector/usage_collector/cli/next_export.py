"""`usage-collector next-export`: when the next month's report is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from usage_collector.cli.asking import asked
from usage_collector.cli.clients import (
    ca_option,
    interruptible,
    json_option,
    peers_option,
    print_json,
    secure_option,
    token_option,
)
from usage_collector.cli.due import due_options, rule
from usage_collector.monthly import exported_to
from usage_collector.periods import Period, due_at, microseconds, next_due, rfc3339

if TYPE_CHECKING:
    from pathlib import Path

_GRACE = timedelta(days=1)
"""After so long a month that is due is overdue: by then a daily run has come twice."""


@click.command("next-export")
@due_options
@click.option("--period", help="Say when this month's report is due.  [default: the next one]")
@peers_option
@secure_option
@token_option
@ca_option
@json_option
@interruptible
def command(
    day: str,
    at: str,
    time_zone: str,
    country: str | None,
    holidays: tuple[str, ...],
    period: str | None,
    peers: str | None,
    secure: bool,
    token_file: Path | None,
    ca_file: Path | None,
    as_json: bool,
) -> None:
    """Says which month's report is due next, and when.

    With --peers it is the first month that the collectors have not seen sent, also when that is
    overdue (due for more than a day); without, the next one by the calendar.
    """
    due, now = rule(day, at, time_zone, country, holidays), datetime.now(UTC)
    if period:
        month = Period.parse(period)
        when = due_at(month, due)
    else:
        last = None
        if peers:
            last = exported_to(asked(peers, token_file, ca_file, secure=secure))
        month, when = next_due(now, due, last)
    text = rfc3339(microseconds(when))
    if as_json:
        late = {} if period else {"overdue": when + _GRACE <= now}
        print_json({"period": str(month), "time": text, **late})
    else:
        local = f"{when.astimezone(due.zone):%A %d %B %Y %H:%M %Z}"
        verb = "is due at" if period else phrase(when, now)
        click.echo(f"{month} {verb} {text} ({local})")


def phrase(when: datetime, now: datetime) -> str:
    """The words between a month that nobody has and the moment at which it is due."""
    if when + _GRACE <= now:
        return "is overdue: it has been due since"
    return "has been due since" if when <= now else "is due at"
