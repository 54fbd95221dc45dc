"""`usage-collector restore`: ledgers out of backups, or out of plain files, back to collectors."""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from usage_collector.backup import (
    Key,
    Return,
    Source,
    catalog,
    delivered,
    loose,
    place,
    plan,
    send,
    spread,
)
from usage_collector.cli import returned
from usage_collector.cli.backup import key_option
from usage_collector.cli.clients import (
    ca_option,
    interruptible,
    json_option,
    progress,
    secure_option,
    token,
    token_option,
    write_summary,
)
from usage_collector.errors import InvalidInput, NotFound, UsageError
from usage_collector.peers import Peer, addresses, trust

if TYPE_CHECKING:
    from collections.abc import Sequence

    from usage_collector.backup import Place
    from usage_collector.cli.returned import Answer
    from usage_collector.peers import Status


@dataclass(frozen=True, slots=True)
class _Asked:
    """What comes from where; ``whose``: collectors of which backups, empty: each one's own."""

    sources: tuple[str, ...]
    key: Key | None
    whose: tuple[str, ...]
    everything: bool
    ledgers: tuple[str, ...]


@click.command("restore", short_help="Brings ledgers back beside the live one of collectors.")
@click.argument("sources", nargs=-1, required=True, metavar="FOLDER|s3://…|FILES…")
@click.option(
    "--to",
    "targets",
    required=True,
    metavar="HOST:PORT,…|@FILE",
    help="The collectors to restore.",
)
@click.option(
    "--collector",
    "whose",
    multiple=True,
    help="Whose backup; may be repeated with --all.  [default: that of each one's own name]",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="All backups that are there, each ledger to one collector: the one that has it, or that "
    "of the same name, zone and number, or zone.",
)
@click.option("--ledger", "ledgers", multiple=True, help="Only this ledger; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Only say what would come back, and what is lost.")
@click.option(
    "--summary-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the result, at most 2 KiB of JSON, here. What is lost stands there, and is no "
    "reason for another exit code than 0.",
)
@key_option
@secure_option
@token_option
@ca_option
@json_option
@interruptible
def command(
    sources: tuple[str, ...],
    targets: str,
    whose: tuple[str, ...],
    everything: bool,
    ledgers: tuple[str, ...],
    dry_run: bool,
    summary_file: Path | None,
    key_file: Path | None,
    secure: bool,
    token_file: Path | None,
    ca_file: Path | None,
    as_json: bool,
) -> None:
    """Brings ledgers back as closed ones beside the live one of running collectors.

    FOLDER is where backups are kept. FILES are packages by themselves, or folders of them; a
    month's manifest.json among them says what was delivered already. Nothing is rewound or counted
    twice; what is there and whole stays as it is. Exit code 1 when positions are known to be lost.
    """
    try:
        key = Key.load(key_file) if key_file else None
        asked = _Asked(sources, key, whose, everything, ledgers)
        urls, word, tls = addresses(targets, secure=secure), token(token_file), trust(ca_file)
        with ExitStack() as stack:
            peers = [stack.enter_context(Peer(url, token=word, tls=tls)) for url in urls]
            told = _restore(asked, peers, dry_run=dry_run, quiet=as_json)
    except UsageError as error:
        if summary_file:
            text = json.dumps({"result": "failed", "error": str(error)[:1000]})
            write_summary(summary_file, text.encode())
        raise
    if summary_file:
        write_summary(summary_file, returned.summary(told))
    returned.tell(told, as_json=as_json)
    sys.exit(1 if told.lossy and not summary_file else 0)


def _restore(asked: _Asked, peers: Sequence[Peer], *, dry_run: bool, quiet: bool) -> returned.Told:
    statuses = [peer.status() for peer in peers]
    by_name = {status.collector: peer for status, peer in zip(statuses, peers, strict=True)}
    if len(by_name) < len(peers):
        raise InvalidInput("--to leads to one collector twice", "name each once")
    sources, chosen = _planned(asked, statuses)
    done: list[tuple[Return, Answer]] = []
    for one in chosen:
        if one.coming.needed and not dry_run:
            source = sources[one.backup.collector]
            done.append((one, _send(source, by_name[one.to], one, quiet=quiet)))
    for backup, to in dict.fromkeys((one.backup.collector, one.to) for one, _ in done):
        delivered.give_back(sources[backup], by_name[to])
    return returned.Told(chosen, done, dry_run=dry_run)


def _planned(asked: _Asked, statuses: Sequence[Status]) -> tuple[dict[str, Source], list[Return]]:
    """The backups by their collectors, and which ledgers go where."""
    paths = [Path(one) for one in asked.sources]
    if loose.are_loose(paths):
        found = loose.gather(paths, asked.key)
        known = [one for one in found if not asked.whose or one.index.collector in asked.whose]
        planned = spread([one.index for one in known], statuses)
    elif asked.everything:
        where = place(asked.sources[0])
        known = [_source(where, name, asked.key) for name in asked.whose or where.collectors()]
        planned = spread([one.index for one in known], statuses)
    else:
        known, planned = _own(asked, statuses)
    if not known:
        raise NotFound("there is no backup there that was asked for", "see usage-collector backups")
    if unknown := set(asked.ledgers) - {one.coming.ledger for one in planned}:
        raise InvalidInput(f"--ledger {min(unknown)} is not in the backup", "see backups")
    chosen = [one for one in planned if not asked.ledgers or one.coming.ledger in asked.ledgers]
    return {one.index.collector: one for one in known}, chosen


def _own(asked: _Asked, statuses: Sequence[Status]) -> tuple[list[Source], list[Return]]:
    """Each collector's own backup; of several, one that has none is left alone."""
    where = place(asked.sources[0])
    if asked.whose and (len(asked.whose) > 1 or len(statuses) > 1):
        raise InvalidInput("--collector names one backup for one collector", "add --all")
    known, planned = [], []
    for status in statuses:
        name = asked.whose[0] if asked.whose else status.collector
        if len(statuses) > 1 and catalog.load(where.of(name)) is None:
            continue
        source = _source(where, name, asked.key)
        known.append(source)
        planned += [
            Return(source.index, status.collector, one) for one in plan(source.index, status)
        ]
    return known, planned


def _source(where: Place, collector: str, key: Key | None) -> Source:
    store = where.of(collector)
    index = catalog.load(store)
    if index is None:
        names = ", ".join(where.collectors()) or "none at all"
        raise NotFound(
            f"there is no backup of {collector} in {where.name}",
            f"there are: {names}; name one with --collector",
        )
    return Source(store, index, key)


def _send(source: Source, peer: Peer, one: Return, *, quiet: bool) -> Answer:
    ledger, began = one.coming.ledger, time.monotonic()
    with progress(quiet=quiet) as bar:
        task = bar.add_task(f"Restoring {ledger[:8]}", total=source.bytes(ledger))
        answer = send(replace(source, say=lambda size: bar.advance(task, size)), peer, ledger)
    seconds = round(time.monotonic() - began, 3)
    return {**answer, "bytes": source.bytes(ledger), "seconds": seconds}
