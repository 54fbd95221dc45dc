"""`usage-collector backup`: what collectors hold, copied to a safe place and proven there."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from usage_collector.backup import Key, Source, delivered, place, plan, proving, send, taking
from usage_collector.backup.telling import tell
from usage_collector.cli.clients import (
    ca_option,
    interruptible,
    json_option,
    print_json,
    progress,
    secure_option,
    token,
    token_option,
    write_summary,
)
from usage_collector.cli.returned import spans
from usage_collector.errors import InvalidInput, StorageUnavailable, UsageError
from usage_collector.peers import Peer, addresses, trust
from usage_collector.words import many

if TYPE_CHECKING:
    from usage_collector.backup import Index, Place
    from usage_collector.backup.taking import Taken

_FILE = click.Path(path_type=Path, dir_okay=False)
KEEP_DAYS = 396
MOST_BYTES = 2048

key_option = click.option(
    "--key-file",
    type=_FILE,
    envvar="USAGE_BACKUP_KEY_FILE",
    show_envvar=True,
    help="Secret that encrypts the backup, at least 32 bytes.  [default: not encrypted]",
)


@dataclass(frozen=True, slots=True)
class _Asked:
    place: Place
    key: Key | None
    keep_days: int
    verify: bool
    verify_days: int | None
    auto_restore: bool
    quiet: bool

    def due(self, index: Index, now: datetime) -> bool:
        """Whether the backup is to be proven now; what was broken was just fetched again."""
        proof = index.verified
        if self.verify or (proof and not proof.ok):
            return True
        if self.verify_days is None:
            return False
        return proof is None or now - proof.at >= timedelta(days=self.verify_days)


@click.command("backup", short_help="Copies what is new at running collectors, and proves it.")
@click.option("--from", "sources", required=True, metavar="HOST:PORT,…|@FILE", help="Collectors.")
@click.option(
    "--to", "target", required=True, metavar="FOLDER|s3://…", help="Where backups are kept."
)
@key_option
@click.option(
    "--keep-days",
    type=click.IntRange(1),
    default=KEEP_DAYS,
    show_default=True,
    help="Let go what was taken before, if it was sent.",
)
@click.option("--verify", is_flag=True, help="Then restore it into scratch space and prove it.")
@click.option("--verify-every", type=click.IntRange(1), help="The same, every so many days.")
@click.option(
    "--auto-restore",
    is_flag=True,
    help="Bring back ledgers that a collector lost, or that are damaged there.",
)
@click.option("--summary-file", type=_FILE, help="Write the result there, at most 2 KiB of JSON.")
@secure_option
@token_option
@ca_option
@json_option
@interruptible
def command(
    sources: str,
    target: str,
    key_file: Path | None,
    keep_days: int,
    verify: bool,
    verify_every: int | None,
    auto_restore: bool,
    summary_file: Path | None,
    secure: bool,
    token_file: Path | None,
    ca_file: Path | None,
    as_json: bool,
) -> None:
    """Copies what is new at running collectors, proves each package, joins it to what is there.

    Nothing stops meanwhile. A collector that does not answer costs exit code 1; the backups of the
    others are taken, and what was there before is never touched.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        key = Key.load(key_file) if key_file else None
        asked = _Asked(place(target), key, keep_days, verify, verify_every, auto_restore, as_json)
        urls = addresses(sources, secure=secure)
        word, tls = token(token_file), trust(ca_file)
    except UsageError as error:
        if summary_file:
            text = json.dumps({"result": "failed", "error": str(error)[:1000]})
            write_summary(summary_file, text.encode())
        raise
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(url, token=word, tls=tls)) for url in urls]
        summary = _summary(asked, [_one(asked, peer) for peer in peers])
    if summary_file:
        write_summary(summary_file, short(summary))
    if as_json:
        print_json(summary)
    wrong = any(one.get("usage") for one in summary["collectors"])
    sys.exit(2 if wrong else 0 if summary["ok"] else 1)


def _now() -> datetime:
    return datetime.now(UTC)


def _one(asked: _Asked, peer: Peer) -> dict[str, Any]:
    """One collector's backup; what went wrong is part of the result."""
    started = time.monotonic()
    try:
        with progress(quiet=asked.quiet, counts=True) as bar:
            task = bar.add_task(f"Events of {peer.url}", total=None)
            order = taking.Order(
                place=asked.place,
                key=asked.key,
                keep_before=_now() - timedelta(days=asked.keep_days),
                now=_now,
                say=lambda _, done, total: bar.update(task, completed=done, total=total),
            )
            taken = taking.take(order, peer)
        index = taken.index
        restored = _restored(asked, peer, taken) if asked.auto_restore else []
        if asked.due(index, _now()):
            index = _proven(asked, peer, taken)
        _tell(peer, taken, index)
    except (UsageError, OSError) as error:
        trouble = error if isinstance(error, UsageError) else _scratch(error)
        click.echo(f"Error: {trouble}", err=True)
        wrong = isinstance(error, InvalidInput)
        return {"ok": False, "collector": peer.url, "error": str(trouble), "usage": wrong}
    told = _told(asked, taken, index, time.monotonic() - started)
    return {**told, "restored": restored}


def _scratch(error: OSError) -> StorageUnavailable:
    """What is not told of the place is of the scratch space, where packages lie meanwhile."""
    where = error.filename or tempfile.gettempdir()
    return StorageUnavailable(f"{where}: {error.strerror}", "give $TMPDIR more room")


def _tell(peer: Peer, taken: Taken, index: Index) -> None:
    """Leaves a note with the collector; a backup is as good without."""
    try:
        tell(peer, taken.place, index)
    except UsageError as error:
        click.echo(f"Note: {taken.collector} was not told of its backup: {error}", err=True)


def _restored(asked: _Asked, peer: Peer, taken: Taken) -> list[str]:
    """Brings back what the collector no longer has; what came of it, in words."""
    source = Source(asked.place.of(taken.collector), taken.index, asked.key)
    said = []
    for one in plan(taken.index, peer.status()):
        if one.needed:
            done = send(source, peer, one.ledger)
            gone = f"; lost: {spans(done['lost'])}" if done["lost"] else ""
            said.append(
                f"{taken.collector}: ledger {one.ledger} came back up to {done['last']}{gone}"
            )
            click.echo(said[-1], err=True)
    if said:
        delivered.give_back(source, peer)
    return said


def _proven(asked: _Asked, peer: Peer, taken: Taken) -> Index:
    store = asked.place.of(taken.collector)
    with progress(quiet=asked.quiet) as bar:
        total = sum(one.bytes for one in taken.index.packages)
        task = bar.add_task(f"Proving {taken.collector}", total=total)
        return proving.prove(
            proving.Order(store, asked.key, _now, peer, lambda read: bar.advance(task, read))
        )


def _told(asked: _Asked, taken: Taken, index: Index, seconds: float) -> dict[str, Any]:
    proof = index.verified
    ok = proof is None or proof.ok
    notes = [*taken.notes]
    if index.plain:
        notes.append(
            f"not encrypted, since there before the key was given: {many(index.plain, 'file')}; "
            "take the backup to another place to have all of it encrypted"
        )
    if not asked.quiet:
        click.echo(
            f"{taken.collector}: {many(taken.new, 'new event')} in {seconds:.1f} s; "
            f"{many(index.events, 'event')} in {many(len(index.packages), 'package')}, "
            f"{index.stored_bytes} bytes, in {taken.place}"
        )
        for note in (*notes, *(proof.findings if proof else ())):
            click.echo(f"Note: {taken.collector}: {note}", err=True)
    return {
        "ok": ok,
        "collector": taken.collector,
        "zone": index.zone,
        "place": taken.place,
        "taken": _text(index.taken),
        "new_events": taken.new,
        "fetched_bytes": taken.fetched,
        "events": index.events,
        "packages": len(index.packages),
        "bytes": index.stored_bytes,
        "merged": taken.merged,
        "pruned": taken.pruned,
        "seconds": round(seconds, 3),
        "notes": notes,
        "verified": None
        if proof is None
        else {
            "time": _text(proof.at),
            "ok": proof.ok,
            "events": proof.events,
            "findings": proof.findings,
            "delivered_files": proof.delivered,
        },
    }


def _text(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else None


def _summary(asked: _Asked, results: list[dict[str, Any]]) -> dict[str, Any]:
    """All collectors together: as old as the oldest backup, as proven as the least."""
    ok = all(one["ok"] for one in results)
    taken = [one["taken"] for one in results if one.get("taken")]
    proofs = [one["verified"] for one in results if one.get("verified")]
    errors = [one["error"] for one in results if "error" in one]
    errors += [finding for proof in proofs for finding in proof["findings"]]
    errors += [note for one in results for note in one.get("notes", ())]
    return {
        "result": "backed-up" if not any("error" in one for one in results) else "failed",
        "ok": ok,
        "time": min(taken, default=None),
        "events": sum(one.get("events", 0) for one in results),
        "bytes": sum(one.get("bytes", 0) for one in results),
        "location": asked.place.name,
        "verified": min((one["time"] for one in proofs), default=None)
        if len(proofs) == len(results)
        else None,
        "verified_ok": all(one["ok"] for one in proofs) if proofs else None,
        "error": "; ".join(errors) or None,
        "restored": [text for one in results for text in one.get("restored", ())],
        "collectors": results,
    }


def short(summary: dict[str, Any]) -> bytes:
    """At most 2 KiB: where it would be more, the collectors are left out and texts are cut."""
    text = _compact(summary)
    if len(text) <= MOST_BYTES:
        return text
    whole = {name: value for name, value in summary.items() if name != "collectors"}
    for size in (1000, 300, 100):
        error = (summary["error"] or "")[:size] or None
        restored = [one[: size // 3] for one in summary["restored"][:3]]
        text = _compact(whole | {"error": error, "restored": restored})
        if len(text) <= MOST_BYTES:
            break
    return text


def _compact(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
