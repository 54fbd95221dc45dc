"""Backup and restore: `python -m tests.bench.backup [--events N]`.

A collector with N events (long form: `--events 10000000`) is backed up over HTTP while it serves,
proven, lost, and restored; time, memory of each process, and bytes, beside the raw ledger and
what `sqlite3 .backup` and gzip make of it. The events are filled in directly; 10M take half an
hour and 6 GB of disk.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from tests.bench import figures
from tests.bench.room import _event
from tests.collector.process import CollectorProcess
from usage_collector import events
from usage_collector.ledger import Ledgers

_BATCH = 1000
_TURNS = 3


def fill(folder: Path, count: int) -> None:
    """A data folder with that many events of 1 kB."""
    chance = Random(1)
    folder.mkdir()
    ledgers = Ledgers(folder, "collector-0", "eu-1a", lambda: time.time_ns() // 1000)
    for start in range(0, count, _BATCH):
        raws = [_event(start + n, chance) for n in range(_BATCH)]
        ledgers.writer.append_and_wait(events.parse(b"[" + b",".join(raws) + b"]"))
    ledgers.close()


def command(*arguments: object) -> tuple[float, float, dict[str, object]]:
    """Runs `usage-collector`; seconds, MB of memory at most, and what it said."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "usage_collector", *map(str, arguments), "--json"],
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments[0]} ended with {status}: {said!r}")
    return time.monotonic() - began, usage.ru_maxrss / 1000, json.loads(said)


def peak(process: int) -> float:
    """MB of memory that a process had at most; begins anew."""
    folder = Path(f"/proc/{process}")
    line = next(
        text for text in (folder / "status").read_text().splitlines() if text.startswith("VmHWM")
    )
    (folder / "clear_refs").write_text("5")
    return int(line.split()[1]) / 1000


def taken(collector: CollectorProcess) -> float:
    """MB of memory that the collector had at most; begins anew."""
    assert collector.process
    return peak(collector.process.pid)


def size(folder: Path) -> float:
    """MB of its files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def plain_backup(folder: Path) -> tuple[float, float]:
    """Seconds and MB of SQLite's own online backup, compressed with gzip."""
    database = next((folder / "ledgers").glob("*/events.db"))
    began = time.monotonic()
    copy = folder.with_name("copy.db")
    source, target = sqlite3.connect(f"file:{database}?mode=ro", uri=True), sqlite3.connect(copy)
    source.backup(target, pages=1000)
    source.close()
    target.close()
    with copy.open("rb") as plain, gzip.open(f"{copy}.gz", "wb", compresslevel=6) as packed:
        shutil.copyfileobj(plain, packed, 1024 * 1024)
    took = time.monotonic() - began
    found = Path(f"{copy}.gz").stat().st_size / 1e6
    copy.unlink()
    return took, found


def ingest(collector: CollectorProcess, seed: int) -> float:
    """Events a second that transcribers get acknowledged now."""
    to = ("--to", f"127.0.0.1:{collector.ingest_port}", "--insecure", "--quiet")
    load = ("--jobs", 10_000, "--sessions", 0, "--batch", 20, "--seed", seed)
    _, _, said = command("simulate", *to, *load)
    assert isinstance(said["events"], int)
    assert isinstance(said["took_seconds"], float)
    return said["events"] / said["took_seconds"]


def disturbance(collector: CollectorProcess, where: Path) -> float:
    """The share of its speed that ingest keeps while one backup after the other is taken.

    Of medians, in turns with ingest alone: what else the machine does disturbs both alike.
    """
    address = f"127.0.0.1:{collector.reporting_port}"
    # The shell ends with the backup that is under way, not before.
    line = "trap : TERM; while n=$((n+1)); do "
    line += f"{sys.executable} -m usage_collector backup --from {address}"
    alone, meanwhile = [], []
    for turn in range(_TURNS):
        alone.append(ingest(collector, 2 * turn + 1))
        to = where / f"again-{turn}"
        shell = ["sh", "-c", f"{line} --to {to}-$n --json >/dev/null || exit; done"]
        with subprocess.Popen(shell, start_new_session=True) as backups:
            meanwhile.append(ingest(collector, 2 * turn + 2))
            os.killpg(backups.pid, signal.SIGTERM)
        for folder in where.glob(f"{to.name}-*"):
            shutil.rmtree(folder)
    return statistics.median(meanwhile) / statistics.median(alone)


def measure(count: int, where: Path) -> str:
    """The table."""
    data, kept = where / "data", where / "backups"
    fill(data, count)
    rows = []
    collector = CollectorProcess(data)
    with collector:
        raw, idle = size(data / "ledgers"), taken(collector)
        address = f"127.0.0.1:{collector.reporting_port}"
        for name, more in (("backup", ()), ("again, nothing new", ()), ("verify", ("--verify",))):
            took, memory, _ = command("backup", "--from", address, "--to", kept, *more)
            rows.append((name, took, memory, taken(collector), size(kept)))
        kept_speed = disturbance(collector, where)
        collector.kill()
        other, packed = plain_backup(data)
        shutil.rmtree(data)
        collector.start()
        taken(collector)
        took, memory, said = command("restore", kept, "--to", address)
        assert said["restored"][0]["last"] == count  # type: ignore[index]
        rows.append(("restore", took, memory, taken(collector), size(data / "ledgers")))
    text = f"{count:,} events; the ledger has {raw:.0f} MB, the idle collector {idle:.0f} MB. "
    text += f"Ingest keeps {kept_speed:.2f} of its speed while backups are taken.\n\n"
    text += "| | seconds | events/s | MB of memory, command | collector | MB on the disk |\n"
    text += "|---|---|---|---|---|---|\n"
    for name, took, memory, theirs, held in rows:
        text += f"| {name} | {took:.1f} | {count / took:,.0f} | {memory:.0f} | {theirs:.0f} | "
        text += f"{held:.0f} |\n"
    text += f"| `sqlite3 .backup` and gzip | {other:.1f} | {count / other:,.0f} | | | "
    return f"{text}{packed:.0f} |\n"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="(default: 100,000)")
    parser.add_argument("--save", action="store_true", help="into RESULTS.md")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as where:
        text = measure(chosen.events // _BATCH * _BATCH, Path(where))
    print(text)
    if chosen.save:
        figures.save("backup", f"backup --events {chosen.events}", text)


if __name__ == "__main__":
    main()
