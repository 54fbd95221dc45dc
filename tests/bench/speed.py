"""How fast events are taken, next to what else there is: `python -m tests.bench.speed`.

All servers on core 0, each with what belongs to it; the load on core 1. They are measured one
after the other, round after round, and the median of the rounds counts: a noisy machine is noisy
for all of them. Durable TLS posts over connections that stay open; wrk waits for each answer.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import figures, load, servers
from tests.bench.load import Load, Result

SERVER, CLIENT = 0, 1
LOADS = (
    Load(1, "ordered", 64),
    Load(10, "ordered", 64),
    Load(100, "ordered", 64),
    Load(1, "shuffled", 64),
    Load(10, "shuffled", 64),
    Load(100, "shuffled", 64),
    Load(1, "random", 64),
    Load(10, "random", 64),
    Load(100, "random", 64),
    Load(1, "ordered", 16),
    Load(100, "ordered", 16),
)
NAMES = ("ours", "postgres", "aiohttp", "nginx")


@dataclass
class Run:
    """All that was measured: the results of each server for each load, round by round."""

    results: dict[tuple[str, Load], list[Result]] = field(default_factory=dict)
    rss_mb: float = 0
    bytes_per_event: float = 0
    events: int = 0

    def median(self, name: str, of: Load, what: str = "rate") -> float:
        """The median over the rounds."""
        return float(statistics.median(getattr(one, what) for one in self.results[name, of]))


def measure(rounds: int, seconds: int, loads: list[Load], names: list[str]) -> Run:
    """Start every server, and load one after the other."""
    run = Run()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        mine, collector = stack.enter_context(servers.ours(folder, SERVER))
        keys = folder / "data" / "keys"
        started = {"ours": mine}
        others = {"postgres": servers.postgres, "aiohttp": servers.noop, "nginx": servers.nginx}
        for other, start in others.items():
            if other in names:
                started[other] = stack.enter_context(start(folder / other, keys, SERVER))
        number = 0
        for _ in range(rounds):
            for one in loads:
                for other in names:
                    # Times make no difference to those that do not look at them.
                    if other in ("aiohttp", "nginx") and one.times != "ordered":
                        continue
                    number += 1
                    result = load.run(started[other], one, seconds, number, folder, CLIENT)
                    run.results.setdefault((other, one), []).append(result)
                    print(figures.progress(other, one, result), flush=True)
        run.rss_mb = mine.rss_mb
        run.events = figures.last_position(collector)
        files = (folder / "data" / "ledgers").rglob("*")
        run.bytes_per_event = sum(p.stat().st_blocks * 512 for p in files) / run.events
    return run


def flushes(seconds: float, size: int) -> float:
    """How often a second that many bytes can be appended and flushed: what the disk allows."""
    with tempfile.NamedTemporaryFile() as file:
        data, count, end = os.urandom(size), 0, time.monotonic() + seconds
        while time.monotonic() < end:
            os.write(file.fileno(), data)
            os.fdatasync(file.fileno())
            count += 1
    return count / seconds


def main() -> None:
    """Measure, print tables, and with ``--save`` keep them with a plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement (default: 5)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    parser.add_argument("--sizes", type=int, nargs="+", choices=(1, 10, 100), default=[1, 10, 100])
    parser.add_argument("--times", nargs="+", choices=tuple(load.SPANS), default=list(load.SPANS))
    parser.add_argument("--servers", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--save", action="store_true", help="into RESULTS.md and speed.svg")
    chosen = parser.parse_args()
    loads = [one for one in LOADS if one.size in chosen.sizes and one.times in chosen.times]
    run = measure(chosen.rounds, chosen.seconds, loads, chosen.servers)
    disk = {size: flushes(1.0, size * 700) for size in (1, 64, 2000)}
    text = figures.tables(run.median, loads, chosen.servers, disk)
    text += figures.line(run.events, run.rss_mb, run.bytes_per_event)
    print(text)
    if chosen.save:
        command = f"speed --rounds {chosen.rounds} --seconds {chosen.seconds}"
        figures.save("speed", command, text)
        figures.plot(run.median, loads, chosen.servers)


if __name__ == "__main__":
    main()
