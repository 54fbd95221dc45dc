"""`usage-collector serve`: run a collector until it is told to end."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import resource
import signal
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

import click
import uvloop

from usage_collector import settings, web
from usage_collector.errors import Conflict, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_log = logging.getLogger(__name__)

_M_ARENA_MAX = -8
"""glibc's `mallopt(3)`: in how many places its threads allocate."""
_ARENAS = 2
_FILES = 65_536
_ENDS = (signal.SIGTERM, signal.SIGINT)
_RETRY_SECONDS = 1.0
_TELL_EVERY = 60
"""Of so many tries one is logged."""
_HANDOVER_SECONDS = 60
"""So long another process may take to end, twice the grace that a pod is given."""


def _few_arenas() -> None:
    """Lets all threads share their memory: else each keeps what its largest export once took."""
    with contextlib.suppress(AttributeError, OSError):  # other C libraries have no such thing
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def _many_files() -> None:
    """Lets connections be many: else 1,024 of them, a usual limit, leave no file for the ledgers.

    The Go runtime does the same (https://go.dev/issue/46279).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(ValueError, OSError):  # fewer will do
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _claim(folder: Path) -> None:
    """Take the data folder, as soon as it can be had; ends the process when told to meanwhile.

    A volume that a node mounted read-only after trouble comes back without anybody's help here.
    Another process is given time to end: after a pod was deleted by force its node may still run
    it beside the next one.

    Raises:
        Conflict: another process did not end.
    """
    waited = 0
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    try:
        while True:
            try:
                web.claim(folder)
            except StorageUnavailable as error:
                if waited % _TELL_EVERY == 0:
                    _log.error("%s; nothing is served until it can be written", error)
            except Conflict as error:
                if waited * _RETRY_SECONDS >= _HANDOVER_SECONDS:
                    raise
                if waited == 0:
                    _log.warning("%s; it has %d s to end", error, _HANDOVER_SECONDS)
            else:
                return
            waited += 1
            if signal.sigtimedwait(_ENDS, _RETRY_SECONDS):
                _log.info("ended")
                sys.exit(0)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)


def _flags(function: Callable[..., None]) -> Callable[..., None]:
    for variable in reversed(settings.VARIABLES):
        shown = f"{variable.help} [{variable.name}, {variable.default or 'empty'}]"
        option = click.option(variable.flag, variable.field, metavar="TEXT", help=shown)
        function = option(function)
    return function


@click.command("serve")
@_flags
def command(**flags: str | None) -> None:
    """Take events, keep them safe, export them signed. Needs no arguments."""
    _few_arenas()
    _many_files()
    chosen = settings.load(os.environ, flags)
    web.configure(chosen.log_format)
    _log.info("version %s starts on %s", version("usage-operator"), chosen.data_dir)
    _claim(chosen.data_dir)
    parts = web.assemble(chosen)

    async def run() -> None:
        await web.Collector(parts).run()
        # Everything is closed. A thread that still reads for a long cut or export may be left as
        # it is, like by a crash; waiting for it would cost more than the grace of a SIGTERM.
        logging.shutdown()
        os._exit(0)

    # What is there by now stays, and requests leave almost nothing that only the collector of
    # garbage can free: looking for it as often as by default takes some percent of the time.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    uvloop.run(run())
