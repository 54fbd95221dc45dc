"""How far the operator reaches: `python -m tests.bench.operator [--sizes 100] [--plain 100]`.

Real API server and controllers of the local cluster; resources of three zones whose pods run on
no node: a kubelet of paper says that they are ready. The operator runs as a process beside the
control plane, on the same cores. `--plain N` lets a plain kopf operator do the same work; it stops
there, for it does nothing afterwards. `--quiet S` is for how long settled resources are watched,
and after how many seconds each is looked at anew (in the field it is 600).
"""

import argparse
import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import figures
from tests.kind_helper import choose
from tests.kind_helper.cluster import Cluster
from tests.operator import hollow
from tests.operator.support import document
from usage_operator import naming
from usage_operator.kube import Access, Client, from_file
from usage_operator.kube.paths import path

ZONES = [
    {"name": name, "nodeSelector": hollow.NOWHERE, "storageClassName": hollow.CLASS}
    for name in ("a", "b", "c")
]
_START = """
import sys
# kopf reads the official client where it is installed, as for tests; the operator's image has none.
sys.modules["kubernetes"] = None
from usage_operator.__main__ import main
main()
"""
CHANGES = 5
"""How many resources are changed, one after the other."""
DEFINITION = Path(__file__).parents[2] / "deploy" / "crd" / "usagecollectors.yaml"


@dataclass(frozen=True)
class Usage:
    """What a process has used: CPU seconds, and memory now and at most, in MiB."""

    cpu: float
    memory: float
    peak: float


def usage(process: int) -> Usage:
    """Read it from /proc."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines()
    )
    now, peak = (int(status[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM"))
    return Usage(cpu, now, peak)


class Field:
    """A namespace full of resources."""

    def __init__(
        self, cluster: Cluster, access: Access, client: Client, size: int, quiet: int
    ) -> None:
        self.cluster = cluster
        self.access = access
        self.client = client
        self.size = size
        self.quiet = quiet
        self.namespace = f"bench-{secrets.token_hex(3)}"

    async def plant(self, kubelet: hollow.Kubelet) -> None:
        """Make the resources, while no operator runs."""
        self.cluster.kubectl("create", "namespace", self.namespace)
        slots = asyncio.Semaphore(16)

        async def one(number: int) -> None:
            made = document(f"r{number}", zones=ZONES, minReadySeconds=0)
            made["metadata"] = {"name": f"r{number}", "namespace": self.namespace}
            async with slots:
                await kubelet.send("POST", path(naming.KIND, self.namespace), made)

        await asyncio.gather(*(one(number) for number in range(self.size)))

    def command(self) -> list[str]:
        """How the operator is started."""
        return [
            *(sys.executable, "-c", _START, "run", "--http-port=0"),
            *(f"--namespaces={self.namespace}", f"--resync-seconds={self.quiet}"),
            *("--collector-image=localhost/none-such:1", "--log-level=ERROR"),
        ]

    def plain(self) -> list[str]:
        """How the plain one is."""
        kopf = str(Path(sys.executable).parent / "kopf")
        module = "tests.bench.plain"
        return [kopf, "run", "-m", module, "-n", self.namespace, "--standalone", "--quiet"]

    def start(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start an operator."""
        environment = os.environ | {"KUBECONFIG": str(self.cluster.kubeconfig), "PYTHONPATH": "."}
        return subprocess.Popen(command, env=environment)

    async def count(self, kind: str, kubelet: hollow.Kubelet) -> int:
        """Count the objects of a kind without reading them all, which would cost the server."""
        found = await kubelet.send("GET", f"{path(kind, self.namespace)}?limit=1", None)
        return len(found["items"]) + int(found["metadata"].get("remainingItemCount") or 0)

    async def written(self, kubelet: hollow.Kubelet) -> bool:
        """Tell whether every CronJob is there: they are written last."""
        return await self.count("CronJob", kubelet) >= self.size

    async def ready(self) -> int:
        """Count the resources that are Ready."""
        found = 0
        async for page in self.client.pages(naming.KIND, self.namespace, {}):
            found += sum(
                one["type"] == "Ready" and one["status"] == "True"
                for resource in page.items
                for one in (resource.get("status") or {}).get("conditions") or []
            )
        return found

    def clear(self) -> None:
        """Remove it all."""
        self.cluster.kubectl("delete", "namespace", self.namespace, timeout=1800)


async def until(check: Callable[[], Awaitable[bool]], every: float = 0.25) -> float:
    """Wait; give the seconds that it took."""
    began = time.monotonic()
    while not await check():  # noqa: ASYNC110 - the API has no event for everything
        await asyncio.sleep(every)
    return time.monotonic() - began


async def settle(field: Field, kubelet: hollow.Kubelet) -> float:
    """Let all pods be ready, until every resource is; give the seconds that it took."""

    async def check() -> bool:
        late = await kubelet.look(pending=True)
        return not late and await field.ready() >= field.size

    return await until(check, max(1.0, field.size / 250))


async def reaction(field: Field, kubelet: hollow.Kubelet, number: int) -> float:
    """Change one resource among all; give the seconds until its StatefulSet is changed."""
    name = f"r{number * field.size // CHANGES}"
    began = time.monotonic()
    patch = {"spec": {"retention": {"days": 30}}}
    await kubelet.send("PATCH", path(naming.KIND, field.namespace, name), patch)

    async def acted() -> bool:
        found = await field.client.get("StatefulSet", field.namespace, f"{name}-a")
        return found is not None and '"30"' in json.dumps(found["spec"]["template"])

    await until(acted, 0.01)
    return time.monotonic() - began


async def measure(field: Field, kubelet: hollow.Kubelet) -> dict[str, Any]:
    """Give the figures of one size."""
    process = field.start(field.command())
    try:
        seconds = await until(lambda: field.written(kubelet))
        first = usage(process.pid)
        ready = seconds + await settle(field, kubelet)
        before, began = usage(process.pid), time.monotonic()
        # One whole resync: every resource is looked at anew once, and its Secrets each minute.
        await asyncio.sleep(field.quiet)
        after = usage(process.pid)
        share = (after.cpu - before.cpu) / (time.monotonic() - began)
        changes = [await reaction(field, kubelet, number) for number in range(CHANGES)]
        return {
            "written, s": f"{seconds:.1f}",
            "CPU until then, s": f"{first.cpu:.1f}",
            "all Ready, s": f"{ready:.0f}",
            "memory at most, MiB": f"{after.peak:.0f}",
            "memory settled, MiB": f"{after.memory:.0f}",
            f"quiet, a resync in {field.quiet} s, of a core": f"{share:.2%}",
            f"one changed, slowest of {CHANGES}, s": f"{max(changes):.2f}",
        }
    finally:
        process.terminate()
        process.wait()


async def compare(field: Field, kubelet: hollow.Kubelet) -> dict[str, Any]:
    """Give the figures of the plain operator: nothing but the first writing."""
    process = field.start(field.plain())
    try:
        seconds = await until(lambda: field.written(kubelet))
        used = usage(process.pid)
        return {
            "written, s": f"{seconds:.1f}",
            "CPU until then, s": f"{used.cpu:.1f}",
            "memory at most, MiB": f"{used.peak:.0f}",
        }
    finally:
        process.terminate()
        process.wait()


def table(rows: list[tuple[str, dict[str, Any]]]) -> str:
    """Put the figures into a Markdown table, a column for each operator and size."""
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    lines = ["| | " + " | ".join(title for title, _ in rows) + " |"]
    lines.append("|---" * (len(rows) + 1) + "|")
    lines += [
        f"| {name} | " + " | ".join(row.get(name, "") for _, row in rows) + " |" for name in names
    ]
    return "\n".join(lines) + "\n"


async def run(sizes: list[int], plain: list[int], quiet: int) -> str:
    """Measure each size, largest last; give a table."""
    cluster = choose.up()
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(DEFINITION))
    access = from_file(cluster.kubeconfig, cluster.context or None)
    rows: list[tuple[str, dict[str, Any]]] = []
    for kind, chosen, work in (("plain kopf", plain, compare), ("this", sizes, measure)):
        for size in chosen:
            async with Client(access) as client:
                field = Field(cluster, access, client, size, quiet)
                async with hollow.Kubelet(access, field.namespace) as kubelet:
                    await kubelet.store()
                    try:
                        await field.plant(kubelet)
                        rows.append((f"{kind}, {size:,} resources", await work(field, kubelet)))
                        print(table(rows[-1:]), file=sys.stderr, flush=True)
                    finally:
                        field.clear()
    return table(rows)


def main() -> None:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="100", help="resources, separated by commas")
    parser.add_argument("--plain", default="100", help="resources of a plain kopf operator")
    parser.add_argument("--quiet", type=int, default=240, help="seconds (default: 240)")
    parser.add_argument("--save", action="store_true", help="into RESULTS.md")
    flags = parser.parse_args()

    def numbers(text: str) -> list[int]:
        return sorted(int(word) for word in text.split(",") if word.strip())

    text = asyncio.run(run(numbers(flags.sizes), numbers(flags.plain), flags.quiet))
    print(text)
    if flags.save:
        command = f"operator --sizes {flags.sizes} --plain {flags.plain} --quiet {flags.quiet}"
        figures.save("operator", command, text)


if __name__ == "__main__":
    main()
