"""What looking after a large ledger costs: `python -m tests.bench.upkeep --events 1000000`.

How long a collector takes to start on it, after a clean end and after a kill; how long storing
events takes while nothing else goes on, while everything is checked in the background, and while a
large part is purged; and how much of its space the file system gets back.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.collector.process import CollectorProcess
from tests.collector.samples import array, event
from usage_collector import events
from usage_collector.ledger import Ledgers
from usage_collector.upkeep import scrub

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FILL = 1000
_REQUEST = 10
_SECONDS = 5.0
_REST = 9.0


def _raws(first: int, number: int) -> list[bytes]:
    return [event(first + n, noise=f"{(first + n) * 2654435761:032x}" * 8) for n in range(number)]


def _store(ledgers: Ledgers, first: int, number: int) -> None:
    ledgers.writer.append_and_wait(events.parse(array(_raws(first, number))))


def _open(folder: Path) -> Ledgers:
    return Ledgers(folder, "bench", "z", lambda: time.time_ns() // 1000)


def _start(folder: Path) -> float:
    began = time.monotonic()
    with CollectorProcess(folder, EATS_SECURE="false") as collector:
        took = time.monotonic() - began
        collector.kill()
    return took


def _while(ledgers: Ledgers, what: Callable[[threading.Event], int]) -> tuple[str, int]:
    """Latencies of storing while that goes on, and what it gives."""
    over, done = threading.Event(), threading.Event()
    gave: list[int] = []

    def work() -> None:
        gave.append(what(over))
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    latencies = []
    began, number = time.monotonic(), 10**9
    while not done.is_set() and time.monotonic() - began < 60:
        parsed = events.parse(array(_raws(number, _REQUEST)))
        number += _REQUEST
        started = time.perf_counter()
        ledgers.writer.append_and_wait(parsed)
        latencies.append(time.perf_counter() - started)
        if time.monotonic() - began > _SECONDS:
            over.set()
    over.set()
    thread.join()
    cuts = statistics.quantiles(latencies, n=1000)
    figures = [statistics.median(latencies), cuts[989], cuts[998], max(latencies)]
    return " | ".join(f"{1000 * figure:.1f}" for figure in figures), gave[0]


def _nothing(over: threading.Event) -> int:
    over.wait()
    return 0


def _scrubbing(ledgers: Ledgers) -> Callable[[threading.Event], int]:
    def work(over: threading.Event) -> int:
        found = 0
        began = time.monotonic()
        for number in scrub(ledgers):
            found += number
            if over.wait(_REST * (time.monotonic() - began)):
                break
            began = time.monotonic()
        return found

    return work


def _purging(
    ledgers: Ledgers, steps: list[tuple[float, float]]
) -> Callable[[threading.Event], int]:
    step = ledgers._purge_step

    def timed(*arguments: object) -> bool:
        began, busy = time.perf_counter(), time.thread_time()
        more = step(*arguments)  # type: ignore[arg-type]
        steps.append((time.perf_counter() - began, time.thread_time() - busy))
        return more

    ledgers._purge_step = timed  # type: ignore[method-assign,assignment]

    def work(over: threading.Event) -> int:
        end = 0
        last = ledgers.all()[0].last // 2
        while not over.is_set() and end < last:
            end += 2000
            ledgers.purge(ledgers.live, end, end)
        return end

    return work


def _spread(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    figures = (ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100], ordered[-1])
    return ", ".join(f"{1000 * figure:.1f}" for figure in figures)


def main() -> None:
    """Fill a ledger and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        folder.mkdir()
        ledgers = _open(folder)
        for first in range(0, chosen.events, _FILL):
            _store(ledgers, first, _FILL)
        shutil.copytree(folder, Path(name) / "killed")
        ledgers.close()
        print(f"\nStart on {chosen.events:,} events: after an end {_start(folder):.2f} s, ", end="")
        print(f"after a kill {_start(Path(name) / 'killed'):.2f} s\n")
        ledgers = _open(folder)
        steps: list[tuple[float, float]] = []
        print("| storing 10 events while | p50 ms | p99 ms | p99.9 ms | longest ms |")
        print("|---|---|---|---|---|")
        print(f"| nothing else goes on | {_while(ledgers, _nothing)[0]} |")
        row, checked = _while(ledgers, _scrubbing(ledgers))
        print(f"| {checked:,} events are checked | {row} |")
        before = ledgers.used()
        row, purged = _while(ledgers, _purging(ledgers, steps))
        print(f"| {purged:,} events are purged | {row} |")
        ledgers.close()
        after = ledgers.used()
        took, busy = zip(*steps, strict=True)
        print(
            f"\nPurging: steps of 100 events take {_spread(took)} ms, of which {_spread(busy)} ms "
            f"of the processor (median, p99, longest); {purged / sum(took):,.0f} events a second "
            f"of them; {(before - after) / 1e6:.1f} of {before / 1e6:.1f} MB given back."
        )


if __name__ == "__main__":
    main()
