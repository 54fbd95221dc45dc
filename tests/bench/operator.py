"""How far the operator reaches: `python -m tests.bench.operator [--sizes 100] [--plain 100]`.

Needs root. For each size a control plane of its own (API server, etcd, controllers, no node),
which goes with it. Resources of three zones whose pods run on no node: a kubelet of paper
says that they are ready. The operator runs as a process beside the control plane, on the same
cores, with a service account's token. The controllers have the pace that Kubernetes gives them by
default until all is written, and hurry afterwards, so that the bench ends. `--plain N` lets a plain
kopf operator do the same work; it stops there, for it does nothing afterwards. `--resync S`: up to
1,000 resources, the operator is started anew to look at each every S seconds (else every 600).
`--kwok` (built when it is needed first, in a minute or two): a real scheduler places the pods on
nodes that kwok simulates, instead of the kubelet of paper.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import figures
from tests.kind_helper.local import plane
from tests.operator import hollow
from tests.operator.conftest import granted
from tests.operator.support import document
from usage_operator import errors, naming
from usage_operator.kube import Client, from_file
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
RESYNCED = 1000
"""With more resources than these no resync is measured."""
NAME = "bench"
"""The control plane's."""
NAMESPACE = "metering"
ALONE = "pods on no node whose status the bench sets, no scheduler, no volumes"
SIMULATED = "pods that a scheduler places on nodes of kwok, volumes that nobody mounts"
CONDITIONS = """\
One run of each on 2 cores, API server, etcd and controllers on the same;
{pods}. The controllers make 20 calls a second each until
all is written, as by default, and 400 from then on; Go programs run with GOGC=300.
"""
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

    def __init__(self, account: Path, client: Client, size: int, *, kwok: bool = False) -> None:
        self.account = account
        self.client = client
        self.size = size
        self.kwok = kwok

    async def served(self) -> bool:
        """Tell whether the API server knows the resources by now."""
        try:
            await self.client.list(naming.KIND, NAMESPACE)
        except (errors.NotFound, errors.ApiUnavailable):
            return False
        return True

    async def plant(self, kubelet: hollow.Kubelet) -> None:
        """Make the resources, while no operator runs."""
        slots = asyncio.Semaphore(16)

        async def one(number: int) -> None:
            made = document(f"r{number}", zones=ZONES, minReadySeconds=0)
            made["metadata"] = {"name": f"r{number}", "namespace": NAMESPACE}
            async with slots:
                await kubelet.send("POST", path(naming.KIND, NAMESPACE), made)

        await asyncio.gather(*(one(number) for number in range(self.size)))

    def command(self, resync: int = 600) -> list[str]:
        """How the operator is started."""
        return [
            *(sys.executable, "-c", _START, "run", "--http-port=0"),
            *(f"--namespaces={NAMESPACE}", f"--resync-seconds={resync}"),
            *("--collector-image=localhost/none-such:1", "--log-level=ERROR"),
        ]

    def plain(self) -> list[str]:
        """How the plain one is."""
        kopf = str(Path(sys.executable).parent / "kopf")
        module = "tests.bench.plain"
        return [kopf, "run", "-m", module, "-n", NAMESPACE, "--standalone", "--quiet"]

    def start(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start an operator."""
        environment = os.environ | {"KUBECONFIG": str(self.account), "PYTHONPATH": "."}
        return subprocess.Popen(command, env=environment)

    async def count(self, kind: str, kubelet: hollow.Kubelet) -> int:
        """Count the objects of a kind without reading them all, which would cost the server."""
        found = await kubelet.send("GET", f"{path(kind, NAMESPACE)}?limit=1", None)
        return len(found["items"]) + int(found["metadata"].get("remainingItemCount") or 0)

    async def written(self, kubelet: hollow.Kubelet) -> bool:
        """Tell whether every CronJob is there: they are written last."""
        return await self.count("CronJob", kubelet) >= self.size

    async def ready(self) -> int:
        """Count the resources that are Ready."""
        found = 0
        async for page in self.client.pages(naming.KIND, NAMESPACE, {}):
            found += sum(
                one["type"] == "Ready" and one["status"] == "True"
                for resource in page.items
                for one in (resource.get("status") or {}).get("conditions") or []
            )
        return found


async def until(check: Callable[[], Awaitable[bool]], every: float = 0.25) -> float:
    """Wait; give the seconds that it took."""
    began = time.monotonic()
    while not await check():  # noqa: ASYNC110 - the API has no event for everything
        await asyncio.sleep(every)
    return time.monotonic() - began


async def settle(field: Field, kubelet: hollow.Kubelet) -> float:
    """Let all pods be ready, until every resource is; give the seconds that it took."""

    async def check() -> bool:
        # kwok knows pods; the volumes that the scheduler waits for are of paper all the same.
        late = await (kubelet.bind() if field.kwok else kubelet.look(pending=True))
        return not late and await field.ready() >= field.size

    return await until(check, max(1.0, field.size / 250))


async def reaction(field: Field, kubelet: hollow.Kubelet, number: int) -> float:
    """Change one resource among all; give the seconds until its StatefulSet is changed."""
    name = f"r{number * field.size // CHANGES}"
    began = time.monotonic()
    patch = {"spec": {"retention": {"days": 30}}}
    await kubelet.send("PATCH", path(naming.KIND, NAMESPACE, name), patch)

    async def acted() -> bool:
        found = await field.client.get("StatefulSet", NAMESPACE, f"{name}-a")
        return found is not None and '"30"' in json.dumps(found["spec"]["template"])

    await until(acted, 0.01)
    return time.monotonic() - began


async def write(
    field: Field, running: plane.Plane, kubelet: hollow.Kubelet, process: subprocess.Popen[bytes]
) -> dict[str, Any]:
    """Let an operator write everything; give how long that took, and what it cost whom."""
    others = running.processes()
    before = {name: usage(one).cpu for name, one in others.items()}

    async def written() -> bool:
        if process.poll() is not None:
            raise SystemExit("the operator has ended")
        return await field.written(kubelet)

    seconds = await until(written)
    spent = {"the operator": usage(process.pid).cpu}
    spent |= {name: usage(one).cpu - before[name] for name, one in others.items()}
    running.hurry()
    return {
        "written, s": f"{seconds:.1f}",
        "CPU until then, s": f"{sum(spent.values()):.1f}",
        **{f"- of {name}": f"{cpu:.1f}" for name, cpu in spent.items()},
    }


async def measure(field: Field, running: plane.Plane, kubelet: hollow.Kubelet) -> dict[str, Any]:
    """Give the figures of one size."""
    process, began = field.start(field.command()), time.monotonic()
    try:
        found = await write(field, running, kubelet, process)
        await settle(field, kubelet)
        ready, after = time.monotonic() - began, usage(process.pid)
        changes = [await reaction(field, kubelet, number) for number in range(CHANGES)]
        return found | {
            "all Ready, s": f"{ready:.0f}",
            "memory at most, MiB": f"{after.peak:.0f}",
            "memory settled, MiB": f"{after.memory:.0f}",
            f"one changed, slowest of {CHANGES}, s": f"{max(changes):.2f}",
        }
    finally:
        process.terminate()
        process.wait()


async def resync(field: Field, seconds: int) -> dict[str, Any]:
    """Give what it costs to look at every settled resource once, and its Secrets each minute."""
    process = field.start(field.command(seconds))
    try:
        # It reads everything first.
        await asyncio.sleep(seconds)
        before = usage(process.pid)
        await asyncio.sleep(seconds)
        after = usage(process.pid)
        spent = after.cpu - before.cpu
        return {
            "memory after a restart, at most, MiB": f"{after.peak:.0f}",
            f"{seconds} s with a resync, CPU s": f"{spent:.1f}",
            "a resync every 600 s, at most of a core": f"{spent / 600:.1%}",
        }
    finally:
        process.terminate()
        process.wait()


async def compare(field: Field, running: plane.Plane, kubelet: hollow.Kubelet) -> dict[str, Any]:
    """Give the figures of the plain operator: nothing but the first writing."""
    process = field.start(field.plain())
    try:
        found = await write(field, running, kubelet, process)
        return found | {"memory at most, MiB": f"{usage(process.pid).peak:.0f}"}
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


async def grow(
    running: plane.Plane, size: int, *, plain: bool, seconds: int, kwok: bool
) -> dict[str, Any]:
    """Give the figures of one operator and size, on a control plane that is empty yet."""
    cluster = running.cluster
    cluster.kubectl("apply", "--server-side", "-f", str(DEFINITION))
    cluster.kubectl("create", "namespace", NAMESPACE)
    with (
        tempfile.TemporaryDirectory() as folder,
        granted(cluster, NAMESPACE, Path(folder)) as rights,
    ):
        if plain:
            # It writes annotations, which ours may not; the kind of account is the same.
            user = f"--user=system:serviceaccount:{NAMESPACE}:operator"
            role = ("clusterrolebinding", "plain", "--clusterrole=cluster-admin", user)
            cluster.kubectl("create", *role)
        access = from_file(cluster.kubeconfig)
        async with Client(access) as client, hollow.Kubelet(access, NAMESPACE) as kubelet:
            field = Field(rights.kubeconfig, client, size, kwok=kwok)
            await until(field.served)
            await kubelet.store()
            await field.plant(kubelet)
            if plain:
                return await compare(field, running, kubelet)
            found = await measure(field, running, kubelet)
            return found | (await resync(field, seconds) if size <= RESYNCED else {})


def run(sizes: list[int], plain: list[int], seconds: int, *, kwok: bool) -> str:
    """Measure each size, largest last; give a table."""
    rows: list[tuple[str, dict[str, Any]]] = []
    for kind, chosen in (("plain kopf", plain), ("this", sizes)):
        for size in chosen:
            with plane.running(NAME, hollow.NOWHERE if kwok else None) as running:
                work = grow(running, size, plain=kind != "this", seconds=seconds, kwok=kwok)
                rows.append((f"{kind}, {size:,} resources", asyncio.run(work)))
            print(table(rows[-1:]), file=sys.stderr, flush=True)
    return table(rows)


def main() -> None:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="100", help="resources, separated by commas")
    parser.add_argument("--plain", default="100", help="resources of a plain kopf operator")
    parser.add_argument("--resync", type=int, default=60, help="seconds (default: 60)")
    parser.add_argument("--kwok", action="store_true", help="let kwok simulate the nodes")
    parser.add_argument("--save", action="store_true", help="into RESULTS.md")
    flags = parser.parse_args()

    def numbers(text: str) -> list[int]:
        return sorted(int(word) for word in text.split(",") if word.strip())

    text = run(numbers(flags.sizes), numbers(flags.plain), flags.resync, kwok=flags.kwok)
    print(text)
    if flags.save:
        command = f"operator --sizes {flags.sizes} --plain {flags.plain} --resync {flags.resync}"
        command += " --kwok" * flags.kwok
        conditions = CONDITIONS.format(pods=SIMULATED if flags.kwok else ALONE)
        figures.save("operator", command, f"{conditions}\n{text}")


if __name__ == "__main__":
    main()
