"""Transcribers that post for as long as a test needs them."""

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from tests.e2e.system import ZONES, System
from tests.kind_helper.errors import CommandFailed
from tests.kind_helper.run import until

LOAD = ("--jobs=1000000", "--sessions=0", "--rate=40", "--connections=8", "--reconnect")
STOP = "import os, signal; os.kill(1, signal.SIGTERM)"


def positions(system: System) -> int:
    """How many events all collectors hold, by their own metrics."""
    total = 0
    for zone in ZONES:
        metrics = system.metrics(f"{system.name}-{zone}-0")
        found = re.findall(r"^usage_head_position\{.*\} (\S+)$", metrics, re.M)
        total += int(sum(map(float, found)))
    return total


def arrived(system: System, before: int) -> bool:
    """Whether there are more events than before; a busy API server's refusal is no answer."""
    with suppress(CommandFailed):
        return positions(system) > before
    return False


def stopped(system: System, told: Future[Any]) -> bool:
    """Ask the transcribers to end; whether they did. Those that only just begin do not hear it."""
    if not told.done():
        with suppress(CommandFailed):
            system.kubectl("exec", "transcribers", "--", "python3", "-c", STOP)
    return told.done()


@contextmanager
def transcribers(system: System, *more: str) -> Iterator[dict[str, Any]]:
    """Post through the Service from a pod as long as the context lasts; then has the counts."""
    counts: dict[str, Any] = {}
    before = positions(system)
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(system.simulate, *LOAD, *more)
        try:
            until(lambda: told.done() or arrived(system, before), "events arrive", seconds=120)
            yield counts
        finally:
            until(lambda: stopped(system, told), "transcribers end", seconds=120, every=1)
            counts |= told.result()
