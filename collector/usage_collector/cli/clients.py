"""What the commands that talk to collectors, or take long, have in common."""

from __future__ import annotations

import functools
import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from usage_collector.cli import INTERRUPTED
from usage_collector.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")
_R = TypeVar("_R")
_F = TypeVar("_F", bound="Callable[..., object]")


class Number(click.FloatRange):
    """A number within bounds, and a number indeed: neither nan nor infinite."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """What the flag says."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number", param, ctx)
        return number


token_option = click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the token for the collectors.  [default: $USAGE_TOKEN]",
)
ca_option = click.option(
    "--ca-file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="USAGE_CA_FILE",
    show_envvar=True,
    help="CA certificates to trust, PEM.  [default: the system's]",
)
peers_option = click.option(
    "--peers",
    envvar="USAGE_PEERS",
    show_envvar=True,
    metavar="HOST:PORT,…|@FILE",
    help="Reporting ports of all collectors that should exist, answering or not.",
)
secure_option = click.option("--secure", is_flag=True, help="HTTPS to addresses without a scheme.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def token(file: Path | None) -> str | None:
    """The token of a file, else of the environment, else none."""
    if file is None:
        return os.environ.get("USAGE_TOKEN") or None
    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"token file {file} cannot be read: {error}", "check it") from None
    if not text or not text.isascii() or len(text.split()) != 1:
        raise InvalidInput(f"token file {file} holds no single token", "one word, nothing else")
    return text


def interruptible(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Ctrl-C ends a command with exit code 130, after everything half done was cleaned up."""

    @functools.wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            leave(INTERRUPTED)

    return run


def leave(code: int) -> NoReturn:
    """Ends the process at once, without waiting for threads that wait for others."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def console() -> Console:
    """Standard output for tables; wide enough for names where it is no terminal."""
    plain = Console()
    return plain if plain.is_terminal else Console(width=160)


def write_summary(path: Path, text: bytes) -> None:
    """Writes a result where whoever started a job looks for it."""
    # Written in place: a container's termination message is a mounted file, not to be replaced.
    try:
        with path.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        click.echo(f"Error: {path} cannot be written: {error.strerror}", err=True)


class _Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        """Nothing while that is not known."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


def progress(*, quiet: bool = False, counts: bool = False) -> Progress:
    """A progress display on standard error, for people only: nothing where it is no terminal.

    Of bytes, or of whatever ``counts``, with their speed.
    """
    screen = Console(stderr=True)
    amount = (
        (MofNCompleteColumn(), _Rate()) if counts else (DownloadColumn(), TransferSpeedColumn())
    )
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        *amount,
        TimeElapsedColumn(),
        console=screen,
        transient=True,
        disable=quiet or not screen.is_terminal,
    )
