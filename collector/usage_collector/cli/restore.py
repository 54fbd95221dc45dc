"""`usage-collector restore`: ledgers out of a backup, back to a collector."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - click reads it
from typing import TYPE_CHECKING

import click
import msgspec
from rich.box import SIMPLE_HEAD
from rich.table import Table

from usage_collector.backup import Key, Source, place, plan, send, taking
from usage_collector.cli.backup import key_option
from usage_collector.cli.clients import (
    ca_option,
    console,
    interruptible,
    json_option,
    print_json,
    progress,
    secure_option,
    token,
    token_option,
)
from usage_collector.errors import InvalidInput, NotFound
from usage_collector.peers import Peer, address, trust

if TYPE_CHECKING:
    from usage_collector.backup import Coming, Place


@click.command("restore")
@click.argument("target", metavar="FOLDER")
@click.option("--to", "to", required=True, metavar="HOST:PORT", help="The collector to restore.")
@click.option("--collector", help="Whose backup.  [default: that of the collector's own name]")
@click.option("--ledger", "ledgers", multiple=True, help="Only this ledger; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Only say what would come back, and what is lost.")
@key_option
@secure_option
@token_option
@ca_option
@json_option
@interruptible
def command(
    target: str,
    to: str,
    collector: str | None,
    ledgers: tuple[str, ...],
    dry_run: bool,
    key_file: Path | None,
    secure: bool,
    token_file: Path | None,
    ca_file: Path | None,
    as_json: bool,
) -> None:
    """Brings ledgers back as closed ones beside the live one of a running collector.

    FOLDER is where backups are kept. Nothing is rewound or counted twice; what is there and whole
    stays as it is. Exit code 1 when positions are known to be lost.
    """
    key = Key.load(key_file) if key_file else None
    with Peer(address(to, secure=secure), token=token(token_file), tls=trust(ca_file)) as peer:
        status = peer.status()
        source = _source(place(target), collector or status.collector, key)
        coming = plan(source.index, status)
        if unknown := set(ledgers) - {one.ledger for one in coming}:
            raise InvalidInput(f"--ledger {min(unknown)} is not in the backup", "see backups")
        chosen = [one for one in coming if not ledgers or one.ledger in ledgers]
        done: list[dict[str, object]] = []
        if not dry_run:
            needed = [one for one in chosen if one.needed]
            done = [_send(source, peer, one, quiet=as_json) for one in needed]
    _tell(source, chosen, done, dry_run=dry_run, as_json=as_json)
    sys.exit(1 if any(one.lost for one in chosen) or any(one["lost"] for one in done) else 0)


def _source(where: Place, collector: str, key: Key | None) -> Source:
    store = where.of(collector)
    index = taking.load(store)
    if index is None:
        names = ", ".join(where.collectors()) or "none at all"
        raise NotFound(
            f"there is no backup of {collector} in {where.name}",
            f"there are: {names}; name one with --collector",
        )
    return Source(store, index, key)


def _send(source: Source, peer: Peer, one: Coming, *, quiet: bool) -> dict[str, object]:
    with progress(quiet=quiet) as bar:
        task = bar.add_task(f"Restoring {one.ledger[:8]}", total=source.bytes(one.ledger))
        told = Source(source.store, source.index, source.key, lambda size: bar.advance(task, size))
        return send(told, peer, one.ledger)


def _tell(
    source: Source,
    chosen: list[Coming],
    done: list[dict[str, object]],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    if as_json:
        print_json(
            {
                "collector": source.index.collector,
                "taken": msgspec.to_builtins(source.index.taken),
                "dry_run": dry_run,
                "plan": [msgspec.to_builtins(one) for one in chosen],
                "restored": done,
            }
        )
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("ledger", overflow="fold")
    for name in ("there", "comes back" if dry_run else "came back", "lost"):
        table.add_column(name)
    for one in chosen:
        answer = next((found for found in done if found["ledger"] == one.ledger), None)
        lost = _spans(answer["lost"] if answer else one.lost)
        came = _spans(answer["came_back"] if answer else one.comes)
        unknown = f"what came after {one.last}" if one.open_end and one.needed else ""
        gone = " and ".join(filter(None, (lost, unknown)))
        table.add_row(one.ledger, one.state, came or "nothing", gone or "nothing known")
    console().print(table)
    click.echo(f"The backup of {source.index.collector} was taken {source.index.taken}.")


def _spans(runs: object) -> str:
    if not isinstance(runs, list):
        return ""
    return ", ".join(f"{first} to {last}" for first, last in runs)
