"""`usage-collector check`: is everything there that was acknowledged?"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from usage_collector import upkeep

if TYPE_CHECKING:
    from usage_collector.upkeep import Report


@click.command("check")
@click.option(
    "--data-dir",
    envvar="USAGE_DATA_DIR",
    default="/data",
    show_default=True,
    type=click.Path(path_type=Path),
    help="the collector's data folder; it may be in use",
)
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON")
def command(data_dir: Path, as_json: bool) -> None:
    """Read every page and event, recompute the chains, compare the heads. Changes nothing."""
    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as progress:
        tasks = {}

        def show(ledger: str, done: int, total: int) -> None:
            if ledger not in tasks:
                tasks[ledger] = progress.add_task(f"ledger {ledger[:8]}", total=total)
            progress.update(tasks[ledger], completed=done)

        report = upkeep.check(data_dir, show)
    print(_json(report)) if as_json else _show(report)
    sys.exit(1 if report.findings else 0)


def _json(report: Report) -> str:
    value = asdict(report)
    for status in value["ledgers"]:
        status["head"] = status["head"].hex()
    return json.dumps({"ok": not report.findings, **value})


def _show(report: Report) -> None:
    console = Console()
    table = Table("ledger", "state", "first", "last", "head")
    for status in report.ledgers:
        state = "live" if status.live else "closed"
        table.add_row(status.id, state, str(status.first), str(status.last), status.head.hex()[:16])
    console.print(table)
    for finding in report.findings:
        place = f"ledger {finding.ledger}: " if finding.ledger else ""
        console.print(f"[red]wrong[/red] {place}{finding.what}", soft_wrap=True)
    if not report.findings:
        console.print(f"{report.events} events, all as they were stored.")
