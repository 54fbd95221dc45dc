"""`usage-collector simulate`: a load generator that behaves like the field's transcribers."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import IO
from urllib.parse import urlsplit

import click

from usage_collector.cli.clients import Number, ca_option, interruptible, json_option, print_json
from usage_collector.errors import InvalidInput
from usage_collector.periods import SECOND, parse_window
from usage_collector.simulate import Line, Plan, Sender, Tally, log, timeline
from usage_collector.words import many

_COUNT = click.IntRange(0, 100_000_000)
_STAMP = "%Y-%m-%d %H:%M:%S"


def _address(text: str) -> str:
    url = text if "://" in text else f"https://{text}"
    parts = urlsplit(url)
    try:
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port
    except ValueError:
        usable = False
    if not usable or parts.path not in ("", "/"):
        raise InvalidInput(
            f"--to {text!r} is not HOST:PORT", "give the ingest port, e.g. localhost:9090"
        )
    return url.rstrip("/")


def _tls(ca_file: Path | None, *, insecure: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(f"--ca-file {ca_file} cannot be used: {error}", "give PEM") from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _plan(jobs: int, sessions: int, span: float, until: str | None, lost: float) -> Plan:
    end = parse_window(None, until).until_us if until else None
    end = end if end is not None else time.time_ns() // 1000
    whole = round(span * 3600 * SECOND)
    return Plan(jobs=jobs, sessions=sessions, start=end - whole, span=whole, lost=lost)


@click.command("simulate", short_help="Sends events of made-up transcribers, and counts them.")
@click.option(
    "--to", "targets", multiple=True, required=True, metavar="HOST:PORT", help="Ingest port."
)
@click.option("--jobs", type=_COUNT, default=100, show_default=True, help="Batch jobs.")
@click.option("--sessions", type=_COUNT, default=10, show_default=True, help="Real-time sessions.")
@click.option("--rate", type=Number(0), default=0, help="Events/s; 0: all at once.")
@click.option("--duration", type=Number(0), help="Stop after so many seconds.")
@click.option(
    "--connections",
    type=click.IntRange(1, 10_000),
    default=4,
    show_default=True,
    help="Posts under way at once, each on a connection of its own.",
)
@click.option(
    "--batch", type=click.IntRange(1, 1000), default=1, show_default=True, help="Events a post."
)
@click.option("--reconnect", is_flag=True, help="A new connection for every post.")
@click.option("--again", type=_COUNT, default=0, help="Send every Nth post twice; 0: none.")
@click.option(
    "--span",
    type=Number(0.001, 9000),
    default=24,
    show_default=True,
    help="Hours that the time stamps cover.",
)
@click.option("--until", help="Last time stamp, ISO 8601.  [default: now]")
@click.option(
    "--lost-ends",
    type=Number(0, 1),
    default=0,
    help="Fraction of sessions that never tell their end.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="The same seed makes the same events."
)
@click.option(
    "--patience",
    type=Number(0),
    default=60,
    show_default=True,
    help="Seconds a post is retried.",
)
@ca_option
@click.option("--server-name", help="Name to expect in the certificate.")
@click.option("--insecure", is_flag=True, help="Accept any certificate.")
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File for a line per acknowledged event.",
)
@click.option("--quiet", is_flag=True, help="Only warnings and errors in the log.")
@json_option
@interruptible
def command(
    targets: tuple[str, ...],
    jobs: int,
    sessions: int,
    rate: float,
    duration: float | None,
    connections: int,
    batch: int,
    reconnect: bool,
    again: int,
    span: float,
    until: str | None,
    lost_ends: float,
    seed: int,
    patience: float,
    ca_file: Path | None,
    server_name: str | None,
    insecure: bool,
    record: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Sends the events of made-up transcribers, and counts what was acknowledged.

    Exit code 0 only if every event was acknowledged. SIGTERM stops making events; what is under way
    is tried for up to a minute, as transcribers do.
    """
    line = Line(
        urls=[_address(target) for target in targets],
        connections=connections,
        batch=batch,
        rate=rate,
        reconnect=reconnect,
        tls=_tls(ca_file, insecure=insecure),
        server_name=server_name,
        again=again,
        patience=patience,
    )
    _log_lines(quiet=quiet)
    plan = _plan(jobs, sessions, span, until, lost_ends)
    with ExitStack() as stack:
        tally = Tally(record=_record(stack, record))
        sender = Sender(line, timeline(plan, Random(seed)), tally)  # noqa: S311 - nothing secret
        began = time.monotonic()
        try:
            asyncio.run(_run(sender, duration))
        finally:  # also after Ctrl-C: that much the collectors have
            _tell(tally, time.monotonic() - began, as_json=as_json)
    sys.exit(0 if not (tally.lost or tally.refused) else 1)


def _record(stack: ExitStack, path: Path | None) -> IO[str] | None:
    if path is None:
        return None
    try:
        return stack.enter_context(path.open("w", encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"--record {path}: {error.strerror}", "give another file") from None


def _log_lines(*, quiet: bool) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(
        logging.Formatter("%(asctime)s.%(msecs)03d %(levelname)s %(name)s %(message)s", _STAMP)
    )
    log.addHandler(handler)
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    log.propagate = False


async def _run(sender: Sender, duration: float | None) -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, sender.stop)
    if duration is not None:
        loop.call_later(duration, sender.stop)
    await sender.run()


def _tell(tally: Tally, took: float, *, as_json: bool) -> None:
    facts = {**tally.as_json(), "took_seconds": round(took, 3)}
    if as_json:
        print_json(facts)
        return
    speed = tally.events / max(took, 1e-9)
    click.echo(f"{many(tally.events, 'event')} acknowledged in {took:.1f} s ({speed:.0f} a second)")
    click.echo(
        f"{many(tally.jobs, 'job')} with {facts['job_hours']:.6f} hours, "
        f"{many(tally.sessions, 'session')} with {facts['session_hours']:.6f} hours, "
        f"{many(tally.warm_ups, 'warm-up')}"
    )
    if unended := len(tally.running):
        click.echo(
            f"{many(unended, 'session')} never ended, {facts['unended_hours']:.6f} hours so far"
        )
    if tally.lost or tally.refused:
        click.echo(f"NOT acknowledged: {tally.lost} given up, {tally.refused} refused", err=True)
