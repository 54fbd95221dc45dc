"""A month of three collectors, exported and verified: `python -m tests.bench.month [--events N]`.

The collectors' ledgers are filled beforehand. While the month is exported, one collector goes on
taking events as fast as it can; its speed is compared with that just before. With `--save` the
figures go to RESULTS.md. 10 million events take about 12 GB of disk in the system's place for
temporary files, of which most is free again at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import httpx

from tests.bench import figures
from tests.collector.processes import Collector, make_keys
from usage_collector import events
from usage_collector.ledger import Ledgers
from usage_collector.periods import Period, microseconds
from usage_collector.simulate import Plan, timeline

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLI = (sys.executable, "-m", "usage_collector")
_ARRAY = 1000
_NOW = datetime.now(UTC)
_WARM_SECONDS = 8


def fill(folder: Path, name: str, number: int, seed: int) -> None:
    """A collector's ledger with so many events of the month up to now."""
    now = microseconds(_NOW)
    start = Period.of(_NOW).start
    (folder / name).mkdir()
    ledgers = Ledgers(folder / name, name, f"zone-{name}", lambda: now)
    # A job is one event, a session's statuses and end are about eight.
    plan = Plan(number * 5 // 6, number // 40, start, max(now - start, 1), lost=0.02)
    batch: list[bytes] = []
    for _, told in zip(range(number), timeline(plan, Random(seed)), strict=False):
        batch.append(told.raw)
        if len(batch) == _ARRAY:
            ledgers.writer.append_and_wait(events.parse(b"[" + b",".join(batch) + b"]"))
            batch.clear()
    if batch:
        ledgers.writer.append_and_wait(events.parse(b"[" + b",".join(batch) + b"]"))
    ledgers.close()


def _filled(folder: Path, number: int) -> None:
    """All three, two at a time: each in a process of its own."""
    running: list[subprocess.Popen[bytes]] = []
    first: list[subprocess.Popen[bytes]] = []
    for seed in range(3):
        words = ["fill", str(folder), f"c-{seed}", str(number // 3), str(seed)]
        running.append(subprocess.Popen([sys.executable, "-m", "tests.bench.month", *words]))
        if len(running) == 2:
            first.append(running.pop(0))
            first[-1].wait()
    assert [process.wait() for process in [*first, *running]] == [0, 0, 0]


def _status(process: int, name: str) -> float:
    """A line of the process' status, in MB."""
    text = Path(f"/proc/{process}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0


@dataclass
class Ran:
    """A command that ran to its end: what it took, and what it said."""

    seconds: float
    peak_mb: float
    facts: Any


_MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""
"""A small process in between: until it is another program a child counts its parent's memory."""


def run(*words: object, environment: dict[str, str]) -> Ran:
    """Runs `usage-collector`; its peak memory is its own."""
    began = time.perf_counter()
    with tempfile.NamedTemporaryFile() as peak:
        command = [sys.executable, "-S", "-c", _MEASURED, peak.name, *_CLI, *map(str, words)]
        out = subprocess.run(
            [*command, "--json"],
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
            check=False,
        ).stdout
        took = time.perf_counter() - began
        return Ran(took, int(peak.read()) / 1024, json.loads(out))


@contextlib.contextmanager
def ingesting(one: Collector, seed: int) -> Iterator[dict[str, float]]:
    """Meanwhile events come as fast as the collector takes them; ``rate`` is known at the end."""
    words = ["--jobs", "90000000", "--sessions", "0", "--seed", seed, "--batch", 10]
    words += ["--connections", 8, "--quiet", "--insecure", "--json", "--to", one.target]
    command = [*_CLI, "simulate", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    found: dict[str, float] = {}
    try:
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        facts = json.loads(process.communicate(timeout=90)[0])
        found["rate"] = facts["events"] / facts["took_seconds"]


def _settle(one: Collector) -> None:
    """Waits until its usage counts all that is stored, which takes memory, too."""
    done = re.compile(r"^usage_uncounted_events 0(\.0)?$", re.MULTILINE)
    while not done.search(httpx.get(f"http://{one.address}/metrics").text):
        time.sleep(1)


def measure(folder: Path, number: int) -> dict[str, float]:
    """Fills, exports and verifies; the figures."""
    began = time.perf_counter()
    _filled(folder, number)
    figure = {"fill": time.perf_counter() - began}
    keys = make_keys(folder)
    made = [Collector(f"c-{n}", folder, keys) for n in range(3)]
    try:
        for one in made:
            one.start()
        for one in made:
            _settle(one)
        figure |= _export(folder, made, keys)
    finally:
        for one in made:
            one.stop()
    verified = run("verify", folder / "out", environment={})
    assert verified.facts["ok"], verified.facts["findings"][:5]
    figure |= {"verify": verified.seconds, "verify_mb": verified.peak_mb}
    return figure


def _export(folder: Path, made: list[Collector], keys: dict[str, str]) -> dict[str, float]:
    pids = [one.process.pid for one in made if one.process]
    idle = [_status(pid, "VmRSS") for pid in pids]
    with ingesting(made[0], 7) as before:
        time.sleep(_WARM_SECONDS)
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    busy = _status(pids[0], "VmRSS")
    with ingesting(made[0], 8) as meanwhile:
        exported = run(
            "export-month",
            *("--period", Period.of(_NOW), "--peers", ",".join(one.address for one in made)),
            *("--to", folder / "out"),
            environment=keys,
        )
    assert exported.facts["result"] == "exported", exported.facts
    above = [_status(pid, "VmHWM") - at for pid, at in zip(pids, [busy, *idle[1:]], strict=True)]
    files = list((folder / "out").glob("*/usage-*.gz"))
    return {
        "events": exported.facts["events"],
        "export": exported.seconds,
        "export_mb": exported.peak_mb,
        "above_mb": max(above),
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "before": before["rate"],
        "meanwhile": meanwhile["rate"],
    }


def table(figure: dict[str, float]) -> str:
    """The figures as Markdown."""
    events_, million = figure["events"], figure["events"] / 1e6
    rows = [
        ("events, in how many packages", f"{events_:,.0f} in {figure['files']:.0f}"),
        ("exported, with ingest going on", _speed(figure["export"], million)),
        ("memory of the job at most", f"{figure['export_mb']:.0f} MB"),
        ("memory of a collector above what it had before", f"{figure['above_mb']:.0f} MB"),
        ("size of the packages", f"{figure['bytes'] / events_:.1f} MB a million"),
        (
            "ingest at one collector, before and meanwhile",
            f"{figure['before']:,.0f} and {figure['meanwhile']:,.0f} events/s, "
            f"{figure['meanwhile'] / figure['before']:.2f} of it",
        ),
        ("verified", _speed(figure["verify"], million)),
        ("memory of the verifier at most", f"{figure['verify_mb']:.0f} MB"),
    ]
    return "| | |\n|---|---|\n" + "".join(f"| {what} | {found} |\n" for what, found in rows)


def _speed(seconds: float, million: float) -> str:
    return f"{seconds:.0f} s, {seconds / million:.1f} s a million"


def main() -> None:
    """Prints a table."""
    if sys.argv[1:2] == ["fill"]:
        folder, name, number, seed = sys.argv[2:]
        fill(Path(folder), name, int(number), int(seed))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--save", action="store_true", help="write the table to RESULTS.md")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figure = measure(Path(folder), asked.events)
    text = table(figure)
    print(f"filled in {figure['fill']:.0f} s\n\n{text}")
    if asked.save:
        figures.save("month", f"month --events {asked.events}", text)


if __name__ == "__main__":
    main()
