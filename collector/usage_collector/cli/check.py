"""`usage-collector check`: is everything there that was acknowledged?"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from usage_collector import upkeep
from usage_collector.cli.clients import (
    console,
    interruptible,
    json_option,
    print_json,
    progress,
)
from usage_collector.words import many

if TYPE_CHECKING:
    from usage_collector.upkeep import Report


@click.command("check", short_help="Reads all of a ledger and says how it is; changes nothing.")
@click.option(
    "--data-dir",
    envvar="USAGE_DATA_DIR",
    default="/data",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The collector's data folder; it may be in use.",
)
@json_option
@interruptible
def command(data_dir: Path, as_json: bool) -> None:
    """Read every page and event, recompute the chains, compare the heads. Changes nothing."""
    with progress(quiet=as_json, counts=True) as bar:
        tasks = {}

        def show(ledger: str, done: int, total: int) -> None:
            if ledger not in tasks:
                tasks[ledger] = bar.add_task(f"Ledger {ledger[:8]}", total=total)
            bar.update(tasks[ledger], completed=done)

        report = upkeep.check(data_dir, show)
    print_json(_facts(report)) if as_json else _show(report)
    sys.exit(1 if report.findings else 0)


def _facts(report: Report) -> dict[str, object]:
    value = asdict(report)
    for status in value["ledgers"]:
        status["head"] = status["head"].hex()
    return {"ok": not report.findings, **value}


def _show(report: Report) -> None:
    screen = console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("ledger", overflow="fold")
    table.add_column("state")
    for name in ("first", "last"):
        table.add_column(name, justify="right")
    table.add_column("head")
    for status in report.ledgers:
        state = "live" if status.live else "closed"
        table.add_row(status.id, state, str(status.first), str(status.last), status.head.hex()[:16])
    screen.print(table)
    for finding in report.findings:
        place = f"ledger {finding.ledger}: " if finding.ledger else ""
        click.echo(f"Wrong: {place}{finding.what}")
    if not report.findings:
        click.echo(
            many(report.events, "event, as it was stored.", "events, all as they were stored.")
        )
