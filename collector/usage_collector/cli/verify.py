"""`usage-collector verify`: proves packages and deliveries, offline."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from usage_collector.cli.clients import (
    console,
    interruptible,
    json_option,
    print_json,
    progress,
)
from usage_collector.errors import InvalidInput
from usage_collector.packages import (
    Malformed,
    Trust,
    explain,
    key_id,
    read_public_keys,
    read_secret,
    verify,
)
from usage_collector.packages.verifying import find
from usage_collector.words import many

if TYPE_CHECKING:
    from rich.console import Console

    from usage_collector.packages import FileReport, Report
    from usage_collector.totals import Totals

_FILE = click.Path(path_type=Path, dir_okay=False)
_SHOWN = 100


@click.command("verify", short_help="Proves packages and manifests, without a connection.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH…")
@click.option(
    "--proof-key", "proofs", multiple=True, type=_FILE, help="Public keys to insist on, PEM."
)
@click.option(
    "--signing-key", "secrets", multiple=True, type=_FILE, help="HS512 secret to insist on."
)
@click.option(
    "--kid", "kids", multiple=True, help="Id of a public key to insist on: 16 hex digits."
)
@click.option(
    "--explain", "explained", is_flag=True, help="Print how to check a file with standard tools."
)
@json_option
@interruptible
def command(
    paths: tuple[Path, ...],
    proofs: tuple[Path, ...],
    secrets: tuple[Path, ...],
    kids: tuple[str, ...],
    explained: bool,
    as_json: bool,
) -> None:
    """Proves that packages are unaltered, complete and ours, and adds them up.

    PATH is a package, or a folder with packages and manifests (also in folders inside it). Works
    without any connection. Without a key, files are checked against the key they carry themselves.
    With several months each is also checked against the two before it. Exit code 0 only if all is
    well.
    """
    trust = Trust(
        secrets={key_id(secret): secret for secret in map(read_secret, secrets)},
        proofs={key_id(key): key for file in proofs for key in read_public_keys(file)},
        kids=frozenset(map(_kid, kids)),
    )
    if explained:
        _explain(paths)
        return
    size = sum(path.stat().st_size for path in find(paths))
    with progress(quiet=as_json) as bar:
        task = bar.add_task("Verifying", total=size)
        report = verify(paths, trust, lambda read: bar.advance(task, read))
    if as_json:
        print_json(report.as_json())
    else:
        _print(report, console())
    sys.exit(0 if report.ok else 1)


def _kid(text: str) -> str:
    kid = text.strip().lower()
    if not re.fullmatch("[0-9a-f]{16}", kid):
        raise InvalidInput(
            f"--kid {text!r} is no key id", "give the 16 hex digits that a page or manifest names"
        )
    return kid


def _explain(paths: tuple[Path, ...]) -> None:
    for path in paths:
        if not path.is_file():
            raise InvalidInput(f"--explain: {path} is no file", "give packages or manifests")
        try:
            click.echo(explain(path))
        except Malformed as error:
            raise Malformed(f"{path}: {error.detail}", error.hint) from None


def _print(report: Report, screen: Console) -> None:
    if report.files:
        screen.print(_files(report.files))
    for one in report.manifests:
        screen.print(
            f"{one.name}: period {one.period}, revision {one.revision}",
            highlight=False,
            markup=False,
        )
    if report.files:
        screen.print(_totals(report.totals))
    if report.findings:
        screen.print(_findings(report))
    for note in report.notes:
        screen.print(f"Not proved: {note}.", highlight=False, markup=False)
    if report.self_asserted:
        screen.print(
            "Self-asserted: checked against the keys in the files. Give --proof-key or --kid to "
            "insist on the key that you know (a collector serves it at /v1/proof-key)."
        )
    if report.ok:
        verdict = "unaltered, complete, nothing twice"
    else:
        verdict = many(len(report.findings), "finding")
    count = f"{many(len(report.files), 'package')}, {many(report.events, 'event')}"
    screen.print(f"{'OK' if report.ok else 'NOT OK'}: {count}: {verdict}", highlight=False)


def _files(files: tuple[FileReport, ...]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    # The package's name says its collector; nothing of it may be cut off on a narrow screen.
    table.add_column("package", overflow="fold")
    for name in ("zone", "period", "positions"):
        table.add_column(name)
    table.add_column("events", justify="right")
    for file in files:
        chain, contents = file.contents.chain, file.contents
        window = f"{contents.since or '…'} to {contents.until or '…'}"
        table.add_row(
            escape(Path(file.name).name),
            escape(contents.zone),
            contents.period or "",
            f"{chain.first} to {chain.last}" if chain else window,
            str(contents.count),
        )
    return table


def _totals(totals: Totals) -> Table:
    table = Table(
        "mode", "type", box=SIMPLE_HEAD, pad_edge=False, title="Usage, each job and session once"
    )
    for name in ("count", "hours"):
        table.add_column(name, justify="right")
    for (mode, kind), amount in totals.by("mode", "type").items():
        table.add_row(mode, escape(kind), str(amount.count), f"{amount.hours:.6f}")
    table.add_row("all", "", str(totals.all.count), f"{totals.all.hours:.6f}", style="bold")
    for name, amount in (("estimated", totals.estimated), ("warm-ups", totals.warm_ups)):
        if amount.count:
            table.add_row(name, "", str(amount.count), f"{amount.hours:.6f}", style="dim")
    return table


def _findings(report: Report) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title="Findings")
    table.add_column("wrong")
    for name in ("file", "positions", "what"):
        table.add_column(name, overflow="fold")
    for one in report.findings[:_SHOWN]:
        where = "" if one.first is None else f"{one.first} to {one.last}"
        table.add_row(str(one.kind), escape(one.file), where, escape(one.detail))
    if len(report.findings) > _SHOWN:
        table.add_row("…", "", "", f"{len(report.findings) - _SHOWN} more; see --json")
    return table
