"""`usage-collector backups`: which there are, how old, and when they were proven."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from usage_collector.backup import catalog, place
from usage_collector.cli.clients import console, json_option, print_json
from usage_collector.errors import NotFound, UsageError

if TYPE_CHECKING:
    from datetime import timedelta

    from usage_collector.backup import Index


@click.command("backups", short_help="Lists backups: sizes, ages, when they were proven.")
@click.argument("target", metavar="FOLDER|s3://…")
@json_option
def command(target: str, as_json: bool) -> None:
    """Lists the backups in a place: sizes, ages, when they were last restored and compared.

    Exit code 1 when one of them cannot be read or did not prove.
    """
    where = place(target)
    names = where.collectors()
    if not names:
        raise NotFound(
            f"there is no backup in {where.name}",
            "give what usage-collector backup was told to write to (--to)",
        )
    rows, wrong = [], []
    for name in names:
        try:
            index, tail = catalog.load(where.of(name)), catalog.load_tail(where.of(name))
        except UsageError as error:
            wrong.append({"collector": name, "error": str(error)})
            continue
        if index:
            rows.append((index, tail))
            if index.verified and not index.verified.ok:
                findings = "; ".join(index.verified.findings)
                wrong.append({"collector": name, "error": f"it did not prove: {findings}"})
    if as_json:
        print_json({"ok": not wrong, "backups": [_facts(*one) for one in rows], "wrong": wrong})
    else:
        _print(rows)
        for one in wrong:
            click.echo(f"Error: {one['collector']}: {one['error']}", err=True)
    sys.exit(1 if wrong else 0)


def _facts(index: Index, tail: Index | None) -> dict[str, object]:
    proof = index.verified
    return {
        "collector": index.collector,
        "zone": index.zone,
        "taken": _text(index.taken),
        "age_seconds": _age(index.taken).total_seconds() if index.taken else None,
        "tail_taken": _text(tail.taken) if tail else None,
        "tail_events": tail.events if tail else None,
        "events": index.events,
        "packages": len(index.packages),
        "bytes": index.stored_bytes,
        "encrypted_with": index.key,
        "not_encrypted": index.plain,
        "verified": _text(proof.at) if proof else None,
        "verified_ok": proof.ok if proof else None,
        "ledgers": [
            {"id": one, "first": have[0].first, "last": have[-1].last, "packages": len(have)}
            for one in dict.fromkeys(stored.ledger for stored in index.packages)
            for have in [index.of(one)]
        ],
    }


def _print(rows: list[tuple[Index, Index | None]]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("collector", overflow="fold")
    table.add_column("zone")
    for name in ("events", "packages", "size", "age", "followed"):
        table.add_column(name, justify="right")
    table.add_column("verified")
    for index, tail in rows:
        proof = index.verified
        said = "never" if proof is None else _span(_age(proof.at)) + " ago"
        table.add_row(
            escape(index.collector),
            escape(index.zone),
            str(index.events),
            str(len(index.packages)),
            decimal(index.stored_bytes),
            _span(_age(index.taken)) if index.taken else "not complete yet",
            _span(_age(tail.taken)) + " ago" if tail and tail.taken else "no",
            said if proof is None or proof.ok else f"[red]failed[/red] {said}",
        )
    console().print(table)


def _age(moment: datetime) -> timedelta:
    return datetime.now(UTC) - moment


def _span(age: timedelta) -> str:
    seconds = max(age.total_seconds(), 0)
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {word}"
    return f"{seconds:.0f} s"


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
