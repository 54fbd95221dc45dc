"""Following a collector: `python -m tests.bench.shipping [--jobs N]`.

While transcribers send to a collector that is followed (every 5 s, as by default), it is looked
again and again what a volume would cost that were lost at this very moment: events, and seconds of
them, that are not in the backup. At the end it is lost indeed, and restored. What following costs
is told by the speed of ingest with and without it, in turns. The long form is `--jobs 50000`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import NamedTuple

from tests.bench import figures
from tests.bench.backup import command, peak, size
from tests.collector.process import CollectorProcess
from usage_collector.backup import catalog, place

_TURNS = 3
_PAUSE = 0.25


class Look(NamedTuple):
    """The last position of the collector and of its backup, and when (of the monotonic clock)."""

    at: float
    collector: int
    backup: int


def cpu(process: int) -> float:
    """Seconds of CPU that a process has taken."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def ingest(collector: CollectorProcess, jobs: int, seed: int) -> float:
    """Events a second that transcribers get acknowledged."""
    to = ("--to", f"127.0.0.1:{collector.ingest_port}", "--insecure", "--quiet")
    _, _, said = command("simulate", *to, "--jobs", jobs, "--sessions", 0, "--seed", seed)
    assert isinstance(said["events"], int)
    assert isinstance(said["took_seconds"], float)
    return said["events"] / said["took_seconds"]


def look(collector: CollectorProcess, kept: Path) -> Look:
    """How far both are now."""
    last = figures.last_position(collector)
    found = catalog.load(place(str(kept)).of("collector-0"))
    return Look(time.monotonic(), last, found.events if found else 0)


def lost(found: list[Look]) -> tuple[list[int], list[float]]:
    """Events, and seconds of them, that a volume would have cost at each look.

    The seconds are those since the collector was first seen to hold more than the backup does now.
    """
    events, seconds = [], []
    for now in found:
        before = [one.at for one in found if one.collector > now.backup and one.at <= now.at]
        events.append(max(0, now.collector - now.backup))
        seconds.append(now.at - before[0] if before else 0.0)
    return events, seconds


@dataclass
class Figures:
    """What the turns came to."""

    alone: list[float] = field(default_factory=list)
    followed: list[float] = field(default_factory=list)
    seen: list[Look] = field(default_factory=list)
    cpu: float = 0.0
    memory: float = 0.0


def turn(collector: CollectorProcess, jobs: int, ship: list[str], found: Figures) -> None:
    """Once without a shipper and once with one, which has gone when this returns."""
    kept, seed = Path(ship[4]), 2 * len(found.alone)
    found.alone.append(ingest(collector, jobs, seed))
    with subprocess.Popen([sys.executable, "-m", "usage_collector", *ship]) as shipper:
        while (now := look(collector, kept)).backup < now.collector:
            time.sleep(_PAUSE)
        begun = cpu(shipper.pid)
        load = Thread(target=lambda: found.followed.append(ingest(collector, jobs, seed + 1)))
        load.start()
        while load.is_alive():
            found.seen.append(look(collector, kept))
            load.join(_PAUSE)
        found.cpu += cpu(shipper.pid) - begun
        found.memory = max(found.memory, peak(shipper.pid))
        shipper.terminate()


def measure(jobs: int, every: float, where: Path) -> str:
    """The table."""
    data, kept, found = where / "data", where / "backups", Figures()
    data.mkdir()
    with CollectorProcess(data) as collector:
        address = f"127.0.0.1:{collector.reporting_port}"
        ship = ["ship", "--from", address, "--to", str(kept), "--every", str(every)]
        for _ in range(_TURNS):
            turn(collector, jobs, ship, found)
        last = figures.last_position(collector)
        collector.kill()
        shutil.rmtree(data)
        data.mkdir()
        collector.start()
        _, _, said = command("restore", kept, "--to", address)
        back = said["restored"][0]["last"]  # type: ignore[index]
    events, seconds = lost(found.seen)
    speeds = [statistics.mean(found.alone), statistics.mean(found.followed)]
    rows = [
        ("events/s without a shipper", f"{speeds[0]:,.0f}"),
        ("events/s with one", f"{speeds[1]:,.0f}"),
        ("share that is kept", f"{speeds[1] / speeds[0]:.2f}"),
        ("looks", f"{len(seconds)}"),
        ("seconds lost, median", f"{statistics.median(seconds):.1f}"),
        ("seconds lost, worst", f"{max(seconds):.1f}"),
        ("events lost, worst", f"{max(events):,}"),
        ("events of the volume that was lost", f"{last:,}"),
        ("of these restored", f"{back:,}"),
        ("CPU seconds of the shipper", f"{found.cpu:.1f}"),
        ("MB of memory of the shipper", f"{found.memory:.0f}"),
        ("MB of the backup", f"{size(kept):.1f}"),
    ]
    text = f"{_TURNS} turns of {jobs:,} jobs each, a look every {every:g} s.\n\n| | |\n|---|---|\n"
    return text + "".join(f"| {name} | {value} |\n" for name, value in rows)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5_000, help="in each turn (default: 5,000)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds (default: 5)")
    parser.add_argument("--save", action="store_true", help="into RESULTS.md")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as where:
        text = measure(chosen.jobs, chosen.every, Path(where))
    print(text)
    if chosen.save:
        figures.save("shipping", f"shipping --jobs {chosen.jobs}", text)


if __name__ == "__main__":
    main()
