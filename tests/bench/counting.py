"""What counting usage costs those who store events: `python -m tests.bench.counting`.

Two collectors on core 0, one of which never counts; both are loaded from core 1, one after the
other, round after round, and the medians are compared. Next to the rate stands the rate for a
second of the collector's CPU, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.bench import load
from tests.bench.servers import Server
from tests.collector.process import CollectorProcess

SERVER, CLIENT = "0", 1
FOREVER = 1e9


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement (default: 5)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 100])
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        servers = {}
        for label in ("counting", "not counting"):
            folder = Path(name) / label.replace(" ", "-")
            collector = CollectorProcess(folder, wrapper=("taskset", "-c", SERVER))
            if label != "counting":
                collector.patch("usage_collector.usage.fleet.FEED_SECONDS", FOREVER)
            stack.enter_context(collector)
            assert collector.process is not None
            servers[label] = Server(collector.ingest_url, (collector.process.pid,))
        number = 0
        for size in chosen.sizes:
            results: dict[str, list[load.Result]] = {label: [] for label in servers}
            for _ in range(chosen.rounds):
                for label, server in servers.items():
                    number += 1
                    one = load.Load(size, "ordered", 64)
                    result = load.run(server, one, chosen.seconds, number, Path(name), CLIENT)
                    results[label].append(result)
            for what in ("rate", "per_cpu", "p99"):
                medians = {
                    label: statistics.median(getattr(one, what) for one in found)
                    for label, found in results.items()
                }
                share = medians["counting"] / medians["not counting"]
                shown = ", ".join(f"{label} {value:.1f}" for label, value in medians.items())
                print(f"{size:4} events a request: {what:8} {shown}; {share:.3f}", flush=True)


if __name__ == "__main__":
    main()
