"""Transcribers that post for as long as a test needs them."""

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from tests.e2e.system import PATIENCE, ZONES, System
from tests.kind_helper.run import until

LOAD = ("--jobs=1000000", "--sessions=0", "--rate=40", "--connections=8", "--reconnect")
LONGEST = 900
"""Seconds that they post at most."""


def position(system: System, pod: str) -> int:
    """How many events a collector holds, by its own metrics."""
    found = re.findall(r"^usage_head_position\{.*\} (\S+)$", system.metrics(pod), re.M)
    return int(sum(map(float, found)))


def positions(system: System) -> int:
    """How many events the first collectors of all zones hold."""
    return sum(position(system, f"{system.name}-{zone}-0") for zone in ZONES)


def stopped(system: System, told: Future[Any]) -> bool:
    """Ask the transcribers to end; whether they did. Those that only just begin do not hear it."""
    if not told.done():
        system.terminate("transcribers")
    return told.done()


@contextmanager
def transcribers(system: System, *more: str) -> Iterator[dict[str, Any]]:
    """Post through the Service from a pod as long as the context lasts; then has the counts."""
    counts: dict[str, Any] = {}
    before = positions(system)
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(system.simulate, *LOAD, *more, timeout=LONGEST)
        try:
            until(
                lambda: told.done() or positions(system) > before,
                "events arrive",
                seconds=PATIENCE,
            )
            yield counts
        finally:
            until(lambda: stopped(system, told), "transcribers end", seconds=PATIENCE, every=1)
            counts |= told.result()
