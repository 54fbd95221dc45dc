"""Figures as people read them: Markdown tables, a plot, and the file that keeps them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.bench.load import Load, Result
    from tests.collector.process import CollectorProcess

    Median = Callable[[str, Load, str], float]

_RESULTS = Path(__file__).with_name("RESULTS.md")
_PLOT = Path(__file__).with_name("speed.svg")


def progress(name: str, load: Load, result: Result) -> str:
    """One measurement."""
    return (
        f"{name:9} {load.size:4} {load.times:9} {load.connections:3} connections: "
        f"{result.rate:9,.0f} events/s  {result.per_cpu:9,.0f} per CPU s  "
        f"p50 {result.p50:6.1f}  p99 {result.p99:6.1f} ms"
        + (f"  {result.failed} FAILED" if result.failed else "")
    )


def last_position(collector: CollectorProcess) -> int:
    """How many events the collector holds."""
    periods = httpx.get(collector.reporting_url + "/v1/periods", timeout=60).json()
    return int(periods["ledgers"][-1]["last"])


def tables(
    median: Median, loads: Sequence[Load], names: Sequence[str], disk: Mapping[int, float]
) -> str:
    """Rates and times to answer, the same by CPU time, and what the disk allows."""
    text = "Events a second of time ([as a plot](speed.svg)):\n\n" + _table(
        median, loads, names, "rate"
    )
    text += "\nEvents a second of the server's own CPU, which a busy machine disturbs less:\n\n"
    text += _table(median, loads, names, "per_cpu")
    flushed = (f"{rate:,.0f} a second of {n} event{'s' * (n > 1)}" for n, rate in disk.items())
    return f"{text}\nWhat the disk allows, append and fdatasync in a row: {', '.join(flushed)}.\n"


def _table(median: Median, loads: Sequence[Load], names: Sequence[str], what: str) -> str:
    head = "".join(f" {name} |" for name in names)
    lines = [f"| events a request | client times | connections |{head} p50/p99 ms, ours |"]
    lines.append("|---|---|---|" + "---|" * (len(names) + 1))
    for load in loads:
        cells = ""
        for name in names:
            of = load if name in ("ours", "postgres") or load.times == "ordered" else None
            cells += f" {median(name, load, what):,.0f} |" if of else " |"
        latency = f"{median('ours', load, 'p50'):.1f}/{median('ours', load, 'p99'):.1f}"
        lines.append(f"| {load.size} | {load.times} | {load.connections} |{cells} {latency} |")
    return "\n".join(lines) + "\n"


def line(events: int, rss_mb: float, bytes_per_event: float) -> str:
    """What it took."""
    return (
        f"\nOurs took {events:,} events in all: {rss_mb:.0f} MB of memory at most, "
        f"{bytes_per_event:.0f} bytes on the disk an event, index and log included.\n"
    )


def save(name: str, command: str, text: str) -> None:
    """Put the text in place of what RESULTS.md has for that benchmark."""
    old = _RESULTS.read_text()
    pattern = rf"(## [^\n]*`python -m tests\.bench\.){name}\b[^\n]*`\n.*?(?=\n## |\Z)"
    new, found = re.subn(
        pattern, lambda match: f"{match[1]}{command}`\n\n{text}", old, flags=re.DOTALL
    )
    if not found:
        new = (
            f"{old.rstrip()}\n\n## {name.capitalize()}: `python -m tests.bench.{command}`\n\n{text}"
        )
    _RESULTS.write_text(new)


def plot(median: Median, loads: Sequence[Load], names: Sequence[str]) -> None:
    """Bars of events a second, one group a load."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "usage"
    from matplotlib import pyplot as plt

    shown = [one for one in loads if one.connections == 64]
    figure, axes = plt.subplots(figsize=(11, 4.5))
    width = 0.8 / len(names)
    for index, name in enumerate(names):
        rates = [
            median(name, one, "rate")
            if name in ("ours", "postgres") or one.times == "ordered"
            else 0
            for one in shown
        ]
        places = [n + index * width for n in range(len(shown))]
        axes.bar(places, rates, width, label=name)
    axes.set_yscale("log")
    axes.set_ylabel("events a second, one core")
    axes.set_xticks(
        [n + 0.4 - width / 2 for n in range(len(shown))],
        [f"{one.size}\n{one.times}" for one in shown],
    )
    axes.legend()
    figure.tight_layout()
    figure.savefig(_PLOT, metadata={"Date": None})
