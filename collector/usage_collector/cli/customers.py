"""`usage-collector customers`: who is billed, and for what."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from usage_collector import usage
from usage_collector.cli.clients import Number, console, interruptible, print_json
from usage_collector.cli.reporting import collectors_options, format_option, tell_partial
from usage_collector.errors import Conflict, InvalidInput, NotFound
from usage_collector.periods import Period, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from usage_collector.cli.reporting import Collectors

_DETAILS = (
    "name",
    "customer_ids",
    "contracts",
    "archived",
    "plan",
    "monthly_hours",
    "concurrent_sessions",
)
"""What a customer's record may be given."""
_DAY_SECONDS = 86_400


@click.group("customers")
def command() -> None:
    """Registers customers, and lists what they used."""


def _figures(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--concurrent-sessions", type=click.IntRange(0), help="Sessions at once."),
        click.option("--monthly-hours", type=Number(0), help="Hours a month."),
        click.option("--plan", help="free, paid, enterprise, or one of the limits file."),
        click.option("--contract", "contracts", multiple=True, help="A contract_id of its events."),
        click.option(
            "--customer-id", "customer_ids", multiple=True, help="What events call it, beside ID."
        ),
    ):
        function = option(function)
    return function


@command.command("list")
@collectors_options
@interruptible
def list_(collectors: Collectors, as_json: bool) -> None:
    """Lists all customers, and those in events that nobody registered.

    Exit code 1 where some may be missing.
    """
    answer = collectors.ask("GET", "/v1/customers")
    if as_json:
        print_json(answer)
    else:
        _show(answer["customers"], ("id", *_DETAILS, "merged_into"))
        if answer["unknown"]:
            click.echo("Not registered:")
            _show(answer["unknown"], tuple(answer["unknown"][0]))
    sys.exit(1 if tell_partial(answer) else 0)


@command.command("add")
@click.argument("id_", metavar="ID")
@click.option("--name", required=True, help="What people call it.")
@_figures
@collectors_options
@interruptible
def add(collectors: Collectors, id_: str, as_json: bool, **given: Any) -> None:
    """Registers a customer; what events say of it counts for all months."""
    try:
        collectors.ask("GET", _path(id_))
    except NotFound:
        _put(collectors, id_, _chosen(given), as_json)
        return
    raise Conflict(f"customer {id_} is there already", "see usage-collector customers change")


@command.command("change")
@click.argument("id_", metavar="ID")
@click.option("--name", help="What people call it.")
@_figures
@collectors_options
@interruptible
def change(collectors: Collectors, id_: str, as_json: bool, **given: Any) -> None:
    """Changes what is given of a customer and leaves the rest; lists are replaced."""
    chosen = _chosen(given)
    if not chosen:
        raise InvalidInput("nothing is to be changed", "give at least one flag; see --help")
    _put(collectors, id_, _known(collectors, id_) | chosen, as_json)


@command.command("rename")
@click.argument("id_", metavar="ID")
@click.argument("name", metavar="NAME")
@collectors_options
@interruptible
def rename(collectors: Collectors, id_: str, name: str, as_json: bool) -> None:
    """Gives a customer another name; its id stays."""
    _put(collectors, id_, _known(collectors, id_) | {"name": name}, as_json)


@command.command("archive")
@click.argument("id_", metavar="ID")
@click.option("--undo", is_flag=True, help="It is back.")
@collectors_options
@interruptible
def archive(collectors: Collectors, id_: str, undo: bool, as_json: bool) -> None:
    """Marks a customer that is gone; its usage stays, and what still comes of it is counted."""
    _put(collectors, id_, _known(collectors, id_) | {"archived": not undo}, as_json)


@command.command("merge")
@click.argument("id_", metavar="ID")
@click.argument("into", metavar="OTHER")
@collectors_options
@interruptible
def merge(collectors: Collectors, id_: str, into: str, as_json: bool) -> None:
    """Lets OTHER take the place of ID in every month; into ID itself undoes that."""
    made = collectors.ask("POST", f"{_path(id_)}/merge", body={"into": into})
    _done(made, as_json)


@command.command("invoice")
@click.argument("id_", metavar="[ID]", default="-")
@click.option("--month", metavar="YYYY-MM", help="That month.  [default: the last one]")
@click.option("--since", metavar="YYYY-MM-DD", help="First day, UTC, instead of a month.")
@click.option("--until", metavar="YYYY-MM-DD", help="Last day, UTC.")
@format_option
@collectors_options
@interruptible
def invoice(
    collectors: Collectors,
    id_: str,
    month: str | None,
    since: str | None,
    until: str | None,
    form: str,
    as_json: bool,
) -> None:
    """What a customer, or each of them, used by month, mode and type.

    Exit code 1 where the answer may lack something: standard error says what.
    """
    now = int(time.time() * 1e6)
    window = _window(month, since, until, now)
    answer = collectors.ask("GET", f"{_path(id_)}/usage", window)
    if as_json or form == "json":
        print_json(answer)
    elif form == "csv":
        click.echo(usage.as_csv(answer["usage"]), nl=False)
    else:
        _show(answer["usage"], tuple(answer["usage"][0]) if answer["usage"] else ())
    for one in answer.get("other_formats", ()):
        formats = ", ".join(one["formats"])
        click.echo(f"{one['customer']}: formats that nobody knows: {formats}", err=True)
    running = _tell_running(window.get("until"), now)
    sys.exit(1 if tell_partial(answer) or running else 0)


def _tell_running(until: str | None, now: int) -> bool:
    """Say on standard error that not all days asked for are over; whether that is so."""
    yesterday = f"{moment(now - _DAY_SECONDS * 10**6):%Y-%m-%d}"
    if until is None or until <= yesterday:
        return False
    click.echo(f"PARTIAL: {until} is not over; usage up to {yesterday} is in it (UTC)", err=True)
    return True


def _window(month: str | None, since: str | None, until: str | None, now: int) -> dict[str, str]:
    """The days that are asked for; `InvalidInput` names the flag."""
    today = now // (_DAY_SECONDS * 10**6)
    if since or until:
        if month:
            raise InvalidInput("--month excludes --since and --until", "give one of them")
        usage.query(since, until, None, today)
        return {name: day for name, day in (("since", since), ("until", until)) if day}
    period = Period.parse(month) if month else Period.of(moment(now)).previous
    days = (moment(period.start), moment(period.end - 1))
    return {name: f"{day:%Y-%m-%d}" for name, day in zip(("since", "until"), days, strict=True)}


def _path(id_: str) -> str:
    if "/" in id_:
        raise InvalidInput(
            f"customer {id_!r} is no id", "use letters, digits, dots, dashes and underscores"
        )
    return f"/v1/customers/{quote(id_, safe='')}"


def _known(collectors: Collectors, id_: str) -> dict[str, Any]:
    record = collectors.ask("GET", _path(id_))
    return {name: record[name] for name in _DETAILS}


def _chosen(given: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that were given."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if value is not None and value != ()
    }


def _put(collectors: Collectors, id_: str, details: Mapping[str, Any], as_json: bool) -> None:
    _done(collectors.ask("PUT", _path(id_), body=details), as_json)


def _done(record: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(record)
    else:
        _show([record], ("id", *_DETAILS, "merged_into"))


def _show(lines: Iterable[Mapping[str, Any]], names: Sequence[str]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for line in lines:
        table.add_row(*(_cell(name, line.get(name)) for name in names))
    console().print(table if table.rows else "none")


def _cell(name: str, value: object) -> str:
    if isinstance(value, float) and name.endswith("_hrs"):
        return f"{value:.6f}"
    if isinstance(value, list):
        return escape(", ".join(map(str, value)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return escape("" if value is None else str(value))
