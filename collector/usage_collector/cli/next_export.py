"""`usage-collector next-export`: when the next month's report is due."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from usage_collector.cli.clients import json_option, print_json
from usage_collector.cli.due import due_options, rule
from usage_collector.periods import Period, due_at, microseconds, next_due, rfc3339


@click.command("next-export")
@due_options
@click.option("--period", help="Say when this month's report is due.  [default: the next one]")
@json_option
def command(
    day: str,
    at: str,
    time_zone: str,
    country: str | None,
    holidays: tuple[str, ...],
    period: str | None,
    as_json: bool,
) -> None:
    """Says which month's report is due next, and when."""
    due = rule(day, at, time_zone, country, holidays)
    if period:
        month = Period.parse(period)
        when = due_at(month, due)
    else:
        month, when = next_due(datetime.now(UTC), due)
    text = rfc3339(microseconds(when))
    if as_json:
        print_json({"period": str(month), "time": text})
    else:
        click.echo(f"{month} is due at {text} ({when.astimezone(due.zone):%A %d %B %Y %H:%M %Z})")
