"""`usage-collector report`: a delivered month for people, from its manifest."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from usage_collector.cli.clients import console, json_option, print_json
from usage_collector.errors import DeliveryFailed, InvalidInput
from usage_collector.packages import Malformed, Trust
from usage_collector.packages import manifest as manifests
from usage_collector.packages.manifest import revision_of
from usage_collector.report import as_csv, as_html, figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import Console

    from usage_collector.packages.manifest import Manifest

_GROUPS = ("zone", "customer", "mode", "language", "operating_point")
_BAR = 30
_HINT = "give a month's folder or its manifest"


@click.command("report", short_help="Shows a delivered month to people.")
@click.argument("path", type=click.Path(path_type=Path), metavar="FOLDER|MANIFEST")
@click.option("--period", help="The month, YYYY-MM, where FOLDER holds one folder for each.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="Write the table there.")
@click.option("--html", "html_file", type=click.Path(path_type=Path), help="Write the page there.")
@json_option
def command(
    path: Path, period: str | None, csv_file: Path | None, html_file: Path | None, as_json: bool
) -> None:
    """Shows a delivered month as its newest manifest tells it; `-` writes to standard output.

    Only the manifest's signature is checked, against the key that it carries: `verify` proves it.
    Exit code 1 where the month has gaps.
    """
    manifest = _read(_newest(path, period))
    body = manifest.body
    if period and manifest.period != period:
        raise InvalidInput(
            f"{path} is of {manifest.period}, not of {period}", "give the folder of all months"
        )
    if csv_file:
        _write(csv_file, as_csv(body), "--csv")
    if html_file:
        _write(html_file, as_html(body, manifest.seal.proof_kid), "--html")
    if as_json:
        print_json(dict(body))
    elif not (csv_file or html_file):
        _print(body, console())
    sys.exit(1 if manifest.lines("gaps") else 0)


def _newest(path: Path, period: str | None) -> Path:
    if path.is_file():
        return path
    folder = path / period if period and (path / period).is_dir() else path
    if not folder.is_dir():
        raise InvalidInput(f"{path} does not exist", _HINT)
    found = [(revision_of(one.name), one) for one in folder.iterdir()]
    held = [(revision, one) for revision, one in found if revision]
    if not held:
        months = sorted(one.parent.name for one in folder.glob("*/manifest.json"))
        hint = f"name a month: --period {months[-1]}" if months else "give a month's folder"
        raise InvalidInput(f"{folder} holds no manifest", hint)
    return max(held)[1]


def _read(path: Path) -> Manifest:
    try:
        with path.open("rb") as file:
            manifest = manifests.read(file, {})
    except Malformed as error:
        raise InvalidInput(f"{path} is no manifest: {error.detail}", _HINT) from None
    if wrong := Trust().judge(path.name, manifest.seal):
        raise DeliveryFailed(f"{path}: {wrong.detail}", "get it once more from where it came")
    return manifest


def _write(path: Path, content: bytes, flag: str) -> None:
    if str(path) == "-":
        sys.stdout.buffer.write(content)
        return
    try:
        with path.open("xb") as file, _whole(path):
            file.write(content)
            file.flush()
    except FileExistsError:
        raise InvalidInput(f"{flag}: {path} exists already", "nothing is overwritten") from None
    except OSError as error:
        raise InvalidInput(f"{flag}: {path}: {error.strerror}", "give another file") from None


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """What could not be written to its end is not left there."""
    try:
        yield
    except OSError:
        path.unlink()
        raise


def _print(body: Mapping[str, object], screen: Console) -> None:
    screen.print(f"Usage {body.get('period')}, revision {body.get('revision')}", style="bold")
    for gap in figures.lines(body, "gaps"):
        screen.print(f"GAP: {gap.get('collector')}: {gap.get('reason')}", style="red", markup=False)
    after = figures.part(body, "totals", "after")
    table = Table("", "", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("number", "hours"):
        table.add_column(name, justify="right")
    for group in _GROUPS:
        for row in figures.by(body, group):
            table.add_row(group, escape(row.name) or "none", str(row.count), f"{row.hours:.6f}")
            group = ""
        table.add_section()
    total = figures.amount(after)
    table.add_row("all", "", str(total.count), f"{total.hours:.6f}", style="bold")
    for name in ("estimated", "warm_ups"):
        part = figures.amount(figures.part(after, name))
        table.add_row(name.replace("_", "-"), "", str(part.count), f"{part.hours:.6f}", style="dim")
    screen.print(table)
    _plot(body, screen)
    told = [f"{number} {name}" for name, number in figures.numbers(body).items() if number]
    screen.print("Out of the ordinary: " + (", ".join(told) or "nothing"), highlight=False)


def _plot(body: Mapping[str, object], screen: Console) -> None:
    found = figures.days(body)
    most = max((sum(day.hours) for day in found.days), default=0)
    table = Table("day", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("number", justify="right")
    table.add_column("hours", justify="right")
    table.add_column("")
    for day in found.days:
        hours = sum(day.hours)
        bar = "█" * round(_BAR * hours / most) if most else ""
        least = "" if day.whole else "≥ "
        known = day.whole or day.count
        cells = (f"{least}{day.count}", f"{least}{hours:.3f}") if known else ("", "not known")
        table.add_row(day.name, *cells, bar)
    if found.other.count:
        table.add_row("other days", str(found.other.count), f"{found.other.hours:.3f}", "")
    screen.print(table)
