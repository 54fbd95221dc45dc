"""Transcribers that post for as long as a test needs them."""

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from tests.e2e.system import ZONES, System
from tests.kind_helper.errors import CommandFailed
from tests.kind_helper.run import until

LOAD = ("--jobs=1000000", "--sessions=0", "--rate=40", "--connections=8", "--reconnect")
STOP = "import os, signal; os.kill(1, signal.SIGTERM)"


def position(system: System, pod: str) -> int:
    """How many events a collector holds, by its own metrics."""
    found = re.findall(r"^usage_head_position\{.*\} (\S+)$", system.metrics(pod), re.M)
    return int(sum(map(float, found)))


def positions(system: System) -> int:
    """How many events the first collectors of all zones hold."""
    return sum(position(system, f"{system.name}-{zone}-0") for zone in ZONES)


def arrived(system: System, before: int) -> bool:
    """Whether there are more events than before; a busy API server's refusal is no answer."""
    with suppress(CommandFailed):
        return positions(system) > before
    return False


def hold(system: System, pods: Iterable[str]) -> bool:
    """Whether each of these collectors holds events; a refusal is no answer here either."""
    with suppress(CommandFailed):
        return all(position(system, pod) for pod in pods)
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
