"""`usage-collector serve`: run a collector until it is told to end."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
from typing import TYPE_CHECKING

import click
import uvloop

from usage_collector import settings, web

if TYPE_CHECKING:
    from collections.abc import Callable


_M_ARENA_MAX = -8
"""glibc's `mallopt(3)`: in how many places its threads allocate."""
_ARENAS = 2


def _few_arenas() -> None:
    """Lets all threads share their memory: else each keeps what its largest export once took."""
    with contextlib.suppress(AttributeError, OSError):  # other C libraries have no such thing
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


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
    chosen = settings.load(os.environ, flags)
    web.configure(chosen.log_format)
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
