"""`usage-collector ship`: what collectors take is in their backups within seconds."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - click reads it

import click

from usage_collector.backup import Key, place, shipping
from usage_collector.cli.backup import key_option
from usage_collector.cli.clients import (
    Number,
    ca_option,
    interruptible,
    json_option,
    leave,
    secure_option,
    token,
    token_option,
)
from usage_collector.errors import InvalidInput, UsageError
from usage_collector.peers import Peer, addresses, trust
from usage_collector.web import Lag, LagListener, configure
from usage_collector.words import many

_log = logging.getLogger(__name__)

BEHIND_SECONDS = 60.0
BEHIND_STEPS = 10
"""A backup is too far behind after so many seconds or steps, whichever are more."""
_GRACE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class _Asked:
    target: str
    every: float
    key_file: Path | None
    token_file: Path | None
    ca_file: Path | None
    as_json: bool

    def open(self, url: str) -> shipping.Route:
        """All is read anew with each attempt: tokens, certificates and credentials change."""
        return shipping.Route(
            peer=Peer(url, token=token(self.token_file), tls=trust(self.ca_file), attempts=1),
            place=place(self.target),
            key=Key.load(self.key_file) if self.key_file else None,
            now=lambda: datetime.now(UTC),
        )


@click.command("ship", short_help="Follows collectors: a volume that is lost costs seconds.")
@click.option("--from", "sources", required=True, metavar="HOST:PORT,…|@FILE", help="Collectors.")
@click.option(
    "--to", "target", required=True, metavar="FOLDER|s3://…", help="Where backups are kept."
)
@click.option(
    "--every",
    type=Number(0.1),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How often each collector is asked what is new.",
)
@click.option(
    "--listen", type=click.IntRange(0, 65535), metavar="PORT", help="Serve /metrics and /readyz."
)
@click.option(
    "--log-format",
    type=click.Choice(["line", "json"]),
    default="line",
    envvar="USAGE_LOG_FORMAT",
    show_default=True,
    help="How its log looks, which goes to standard error.",
)
@key_option
@secure_option
@token_option
@ca_option
@json_option
@interruptible
def command(
    sources: str,
    target: str,
    every: float,
    listen: int | None,
    log_format: str,
    key_file: Path | None,
    secure: bool,
    token_file: Path | None,
    ca_file: Path | None,
    as_json: bool,
) -> None:
    """Follows collectors until it is ended: a volume that is lost costs seconds.

    What is new is kept beside the backup that `usage-collector backup` takes from time to time,
    which takes its place. Collectors and places that are away are tried again. SIGTERM ends it
    with 0, between two packages.
    """
    asked = _Asked(target, every, key_file, token_file, ca_file, as_json)
    urls = addresses(sources, secure=secure)
    configure(log_format, sys.stderr)
    asked.open(urls[0]).peer.close()
    lag = Lag(urls, max(BEHIND_SECONDS, BEHIND_STEPS * every))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with ExitStack() as stack:
        if listen is not None:
            server = LagListener(lag, "", listen)
            stack.callback(server.close)
            _log.info("listens on port %d", server.port)
        followers = [_Follower(asked, url, lag, stop) for url in urls]
        threads = [threading.Thread(target=one.run, daemon=True) for one in followers]
        _log.info("follows %s every %g s, into %s", ", ".join(urls), every, target)
        for thread in threads:
            thread.start()
        stop.wait()
        patience = time.monotonic() + _GRACE_SECONDS
        for thread in threads:
            thread.join(max(0.0, patience - time.monotonic()))
    wrong = [one.wrong for one in followers if one.wrong]
    for error in wrong:
        click.echo(f"Error: {error}", err=True)
    _log.info("ended")
    # A thread that still waits for somebody may be left: whatever it does is whole or not there.
    leave(2 if wrong else 0)


class _Follower:
    """Follows one collector until ``stop`` is set; what fails is told once, and tried again."""

    def __init__(self, asked: _Asked, url: str, lag: Lag, stop: threading.Event) -> None:
        self.wrong: InvalidInput | None = None
        self._asked = asked
        self._url = url
        self._lag = lag
        self._stop = stop
        self._trouble = ""
        self._told = False

    def run(self) -> None:
        """Wrong usage ends the whole process, since nothing will mend it."""
        while not self._stop.is_set():
            try:
                self._follow()
            except InvalidInput as error:
                self.wrong = error
                self._stop.set()
            except (UsageError, OSError) as error:
                self._failed(str(error))
                self._stop.wait(self._asked.every)

    def _follow(self) -> None:
        route, every = self._asked.open(self._url), self._asked.every
        with route.peer, closing(shipping.follow(route)) as steps:
            while not self._stop.is_set():
                began = time.monotonic()
                self._level(next(steps), began)
                self._stop.wait(max(0.0, began + every - time.monotonic()))

    def _level(self, step: shipping.Step, began: float) -> None:
        lag = self._lag.seconds(self._url)
        self._lag.level(self._url, began, step.events)
        if not self._told or lag > self._lag.behind:
            told = "%s: the backup of %s is level with it after %.0f s, with %s more"
            _log.info(told, self._url, step.collector, lag, many(step.events, "event"))
        self._told, self._trouble = True, ""
        if self._asked.as_json and step.events:
            facts = {"collector": step.collector, "events": step.events, "bytes": step.bytes}
            click.echo(json.dumps(facts))

    def _failed(self, trouble: str) -> None:
        self._lag.failed(self._url)
        if trouble != self._trouble:
            _log.warning(trouble if self._url in trouble else f"{self._url}: {trouble}")
        self._told, self._trouble = False, trouble
