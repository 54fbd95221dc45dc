"""Every benchmark, one after the other: `make bench`. Leave the machine alone meanwhile."""

import subprocess
import sys

BENCHMARKS = (
    "speed",
    "tls",
    "growth",
    "room",
    "upkeep",
    "packages",
    "usage",
    "backup",
    "shipping",
    "cluster",
    "repair",
)

for name in BENCHMARKS:
    print(f"\n## python -m tests.bench.{name}\n", flush=True)
    subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=True)
