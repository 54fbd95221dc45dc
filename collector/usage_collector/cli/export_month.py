"""`usage-collector export-month`: a month of all collectors, delivered."""

from __future__ import annotations

import json
import logging
import signal
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from usage_collector.cli import INTERRUPTED
from usage_collector.cli.clients import (
    Number,
    ca_option,
    json_option,
    leave,
    peers_option,
    print_json,
    secure_option,
    token,
    token_option,
    write_summary,
)
from usage_collector.cli.due import due_options, rule
from usage_collector.errors import InvalidInput, UsageError
from usage_collector.monthly import Order, Outcome, as_json, run, run_due, short, tell_due
from usage_collector.packages import Keys
from usage_collector.peers import addresses, listed, trust
from usage_collector.periods import Due, Period, microseconds, next_due, rfc3339
from usage_collector.targets import destinations
from usage_collector.words import many

_FILE = click.Path(path_type=Path, dir_okay=False)


@dataclass(frozen=True, slots=True)
class _Flags:
    """The flags as they were written; read only once there is somewhere to report them wrong."""

    period: str | None
    due: bool
    day: str
    at: str
    time_zone: str
    country: str | None
    holidays: tuple[str, ...]
    megabytes: float
    batch_jobs: int
    realtime_hours: float
    peers: str | None
    retired: str
    destinations: tuple[str, ...]
    token_file: Path | None
    ca_file: Path | None
    signing_key_file: Path | None
    proof_key_file: Path | None
    secure: bool

    @property
    def rule(self) -> Due:
        return rule(self.day, self.at, self.time_zone, self.country, self.holidays)


@click.command("export-month", short_help="Delivers a month of all collectors, proved and signed.")
@click.option("--period", help="The month, YYYY-MM; wins over --due.")
@click.option("--due", is_flag=True, help="Every month that is due and was not sent yet.")
@due_options
@click.option(
    "--megabytes",
    type=Number(0.1),
    default=18,
    show_default=True,
    help="Size of a package, in 10^6 bytes.",
)
@click.option(
    "--batch-jobs",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="Jobs in a package.",
)
@click.option(
    "--realtime-hours",
    type=Number(1),
    default=1250,
    show_default=True,
    help="Hours of sessions in a package.",
)
@peers_option
@click.option(
    "--retired",
    default="",
    metavar="LIST",
    help="Collectors that were removed when all they held was sent, by name: no gaps. Or @FILE.",
)
@click.option(
    "--to",
    "destinations",
    multiple=True,
    required=True,
    metavar="PLACE",
    help="Where to deliver: a folder, s3://BUCKET/PREFIX, mailto:NAME@HOST, https://HOST/PATH; "
    "several times for several places.",
)
@secure_option
@token_option
@ca_option
@click.option(
    "--signing-key-file",
    type=_FILE,
    envvar="USAGE_SIGNING_KEY_FILE",
    show_envvar=True,
    help="HS512 secret of the collectors, which signs the manifest too.",
)
@click.option(
    "--proof-key-file",
    type=_FILE,
    envvar="USAGE_PROOF_KEY_FILE",
    show_envvar=True,
    help="Ed25519 private key of the collectors, PEM.",
)
@click.option("--summary-file", type=_FILE, help="Write the result there, at most 2 KiB of JSON.")
@json_option
def command(summary_file: Path | None, as_json: bool, **flags: object) -> None:
    """Delivers a month: every collector's packages, proved, and a signed manifest.

    A collector that does not answer is a gap in the manifest and exit code 1; the rest is
    delivered, and the next run completes it.
    """
    # Whoever ends a job ends it as a person does: with a result that says so.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    given = _Flags(**flags)  # type: ignore[arg-type]
    code, outcome = _guarded(given)
    facts = _facts(given, outcome)
    if summary_file:
        write_summary(summary_file, short(facts))
    if as_json:
        print_json(facts)
    else:
        _print(outcome, facts)
    leave(code) if code == INTERRUPTED else sys.exit(code)


def _guarded(flags: _Flags) -> tuple[int, Outcome]:
    """Runs it; whatever happens becomes an outcome, so that the result is always reported."""
    try:
        outcome = _run(flags)
    except InvalidInput as error:
        return 2, Outcome("failed", flags.period, error=str(error))
    except UsageError as error:
        return 1, Outcome("failed", flags.period, error=str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return 1, Outcome("failed", flags.period, error=f"{where}{error.strerror or error}")
    except KeyboardInterrupt:
        return INTERRUPTED, Outcome("failed", flags.period, error="interrupted")
    return (0 if outcome.ok else 1), outcome


def _run(flags: _Flags) -> Outcome:
    due = flags.rule
    if not flags.period and not flags.due:
        raise InvalidInput("neither --period nor --due was given", "e.g. --period 2026-10")
    if not flags.peers:
        raise InvalidInput("--peers is missing", "list the reporting ports of all collectors")
    if not flags.signing_key_file or not flags.proof_key_file:
        raise InvalidInput(
            "no keys to sign the manifest with",
            "set USAGE_SIGNING_KEY_FILE and USAGE_PROOF_KEY_FILE to the collectors' key files",
        )
    # A thread that is not waited for may still write there when it is removed.
    with tempfile.TemporaryDirectory(prefix="usage-month-", ignore_cleanup_errors=True) as spool:
        order = Order(
            peers=addresses(flags.peers, secure=flags.secure),
            limits={
                "megabytes": flags.megabytes,
                "batch_jobs": flags.batch_jobs,
                "realtime_hours": flags.realtime_hours,
            },
            keys=Keys.load(flags.signing_key_file, flags.proof_key_file),
            destinations=destinations(flags.destinations),
            spool=Path(spool),
            retired=frozenset(listed(flags.retired, "retired", "give one name a line")),
            token=token(flags.token_file),
            tls=trust(flags.ca_file),
            say=lambda text: click.echo(text, err=True),
        )
        if flags.period:
            return run(order, Period.parse(flags.period))
        outcome = run_due(order, due, datetime.now(UTC))
        if outcome.result == "nothing-due":
            with suppress(InvalidInput):
                tell_due(order, *next_due(datetime.now(UTC), due, outcome.exported_to))
        return outcome


def _facts(flags: _Flags, outcome: Outcome) -> dict[str, object]:
    now = datetime.now(UTC)
    try:
        period, when = next_due(now, flags.rule, outcome.exported_to)
        upcoming = (str(period), rfc3339(microseconds(when)))
    except InvalidInput:
        upcoming = None
    return as_json(outcome, f"{now:%Y-%m-%dT%H:%M:%SZ}", upcoming)


def _print(outcome: Outcome, facts: dict[str, object]) -> None:
    upcoming = facts["next"]
    if outcome.result == "nothing-due":
        click.echo(f"Nothing is due. Next: {json.dumps(upcoming)}")
        return
    for gap in outcome.gaps:
        click.echo(f"Gap: {gap}", err=True)
    if outcome.error:
        click.echo(f"Error: {outcome.error}", err=True)
    if outcome.revision:
        click.echo(
            f"{outcome.period}, revision {outcome.revision}: {outcome.result}, "
            f"{many(outcome.files, 'package')}, {many(outcome.events, 'event')}, "
            f"{outcome.hours:.6f} hours, "
            f"delivered to {', '.join(outcome.delivered) or 'nobody'}"
        )
