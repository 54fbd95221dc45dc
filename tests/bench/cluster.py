"""How long a user waits on a cluster: `python -m tests.bench.cluster [--runs N]`.

From `kubectl apply` to Ready, from a pod's creation to its readiness, events through the Service,
and the export's job, on the cluster that `python -m tests.kind_helper up` brings up.
"""

import argparse
import statistics
import time
from datetime import UTC, datetime
from typing import Any

from tests.e2e.system import COLLECTOR, OPERATOR, System, load_images
from tests.kind_helper import choose, images

JOBS = 10_000


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="how often to apply (default: 3)")
    runs = parser.parse_args().runs
    system = System(choose.up(), "bench")
    load_images(system.cluster)
    system.remove()
    system.create_namespace()
    system.install()
    try:
        figures = applying(system, runs) | exporting(system)
    finally:
        system.remove()
    archives = images.build_all()
    for image in (OPERATOR, COLLECTOR):
        figures[f"image {image.rpartition('/')[2]}, unpacked"] = megabytes(archives[image])
    print("| | |\n|---|---|")
    for name, figure in figures.items():
        print(f"| {name} | {figure} |")


def megabytes(archive: Any) -> str:
    """The size of an image's archive, which is not compressed."""
    return f"{archive.stat().st_size / 1e6:.0f} MB"


def spread(seconds: list[float]) -> str:
    """The median with the extremes."""
    return f"{statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f})"


def applying(system: System, runs: int) -> dict[str, str]:
    """Apply the resource to nothing, again and again, volumes included."""
    ready, pods = [], []
    for _ in range(runs):
        began = time.monotonic()
        system.apply(system.resource())
        system.wait_ready()
        ready.append(time.monotonic() - began)
        pods += [started(pod) for pod in collectors(system)]
        if len(ready) < runs:
            system.kubectl("delete", "uc", system.name)
            system.kubectl("delete", "pvc", "--all")
            system.kubectl("wait", "--for=delete", "pod", "--selector", SELECTOR, "--timeout=60s")
    return {
        f"`kubectl apply` to Ready, three zones, {runs} runs": spread(ready),
        "a collector's pod, scheduled to Ready": spread(pods),
    }


SELECTOR = "app.kubernetes.io/component=collector"


def collectors(system: System) -> list[Any]:
    """The collectors' pods."""
    return list(system.get("pods", f"--selector={SELECTOR}")["items"])


def started(pod: Any) -> float:
    """Seconds from scheduled to Ready; the API server tells whole seconds."""
    moments = {
        condition["type"]: datetime.fromisoformat(condition["lastTransitionTime"])
        for condition in pod["status"]["conditions"]
    }
    return (moments["Ready"] - moments["PodScheduled"]).total_seconds()


def exporting(system: System) -> dict[str, str]:
    """Send events from a pod, then export them."""
    sent = system.simulate(f"--jobs={JOBS}", "--sessions=0", "--connections=64")
    began = time.monotonic()
    summary = system.export("--period", f"{datetime.now(UTC):%Y-%m}")
    took = time.monotonic() - began
    rate = sent["events"] / sent["took_seconds"]
    return {
        f"{sent['events']} posts through the Service, 64 connections": f"{rate:.0f} a second",
        f"the export's job, {summary['events']} events of three collectors": f"{took:.1f} s",
    }


if __name__ == "__main__":
    main()
