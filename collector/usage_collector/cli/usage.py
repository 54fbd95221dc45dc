"""`usage-collector usage`: what was used, by day and whatever else is asked for."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from usage_collector import usage
from usage_collector.cli.clients import console, interruptible, print_json
from usage_collector.cli.reporting import collectors_options, format_option, tell_partial
from usage_collector.words import many

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from usage_collector.cli.reporting import Collectors

_DAY_SECONDS = 86_400
_AMOUNTS = frozenset({"count", "duration_hrs", "speech_hrs", "estimated_count", "estimated_hrs"})
_GROUP_BY = (
    f"Any of {', '.join(usage.GROUPS)}, or {usage.DIMENSION}NAME for any dimension of the events."
)


@click.command("usage", short_help="Shows the usage of all collectors, by any groups.")
@click.option("--since", metavar="YYYY-MM-DD", help="First day, UTC.  [default: the first known]")
@click.option("--until", metavar="YYYY-MM-DD", help="Last day, UTC.  [default: yesterday]")
@click.option("--group-by", metavar="NAME,…", help=_GROUP_BY)
@click.option("--customer", help="Of this registered customer only, by its id.")
@format_option
@collectors_options
@interruptible
def command(
    collectors: Collectors,
    since: str | None,
    until: str | None,
    group_by: str | None,
    customer: str | None,
    form: str,
    as_json: bool,
) -> None:
    """Shows the usage of all collectors, which any one of them answers for; today is never in it.

    Exit code 1 where the answer may lack something: standard error says what.
    """
    usage.query(since, until, group_by, int(time.time()) // _DAY_SECONDS)
    given = {"since": since, "until": until, "group_by": group_by, "customer": customer}
    asked = {name: value for name, value in given.items() if value is not None}
    answer = collectors.ask("GET", "/v2/usage", asked)
    if as_json or form == "json":
        print_json(answer)
    elif form == "csv":
        click.echo(usage.as_csv(usage.flat(answer)), nl=False)
    else:
        _print(answer, usage.flat(answer))
    sys.exit(1 if tell_partial(answer) else 0)


def _print(answer: Mapping[str, Any], lines: Sequence[Mapping[str, object]]) -> None:
    screen = console()
    # That day stands for the beginning where nothing was used, as the service documents it.
    days = "up to" if answer["since"] == "1970-01-01" else f"{answer['since']} to"
    screen.print(f"Usage {days} {answer['until']}", style="bold")
    if not lines:
        click.echo("None is known." if answer.get("partial") else "None.")
        return
    names = list(dict.fromkeys(name for line in lines for name in line))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in names:
        table.add_column(name, justify="right" if name in _AMOUNTS else "left", overflow="fold")
    for line in lines:
        table.add_row(*(_cell(name, line.get(name, "")) for name in names))
    screen.print(table)
    total = answer["summary"] or ()
    count, hours = (sum(row[name] for row in total) for name in ("count", "duration_hrs"))
    click.echo(f"{many(count, 'job or session', 'jobs and sessions')}, {hours:.6f} hours")
    if others := answer.get("other_formats"):
        click.echo(f"Formats that nobody knows: {', '.join(others)}", err=True)
    if others := answer.get("other_dimensions"):
        click.echo(f"Dimensions with too many values, in part: {', '.join(others)}", err=True)


def _cell(name: str, value: object) -> str:
    if isinstance(value, float) and name.endswith("_hrs"):
        return f"{value:.6f}"
    return "none" if value in (None, "") else escape(str(value))
