"""What a lost node costs: `python -m tests.bench.nodeloss [--seconds 20]`, as root.

Three collectors, each in a network namespace of its own; a Service as kube-proxy makes it (each
connection to one of its ends at random); clients that try for 3 s. One collector's network falls
silent, as when its node loses power. Without proxies; with two of which none was on that node; with
three of which one was, for clients that are led to all of them, and for clients of another zone
that are led to their own zone's (`trafficDistribution: PreferClose`). Kubernetes takes a lost node
out of a Service after 40 s only, so that what is measured lies before that. Namespaces and
processes go with the benchmark.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.operator.support import context
from usage_operator.manifests import proxy

PATIENCE = 3.0
"""Seconds for which a transcriber tries."""
ZONES = ("a", "b", "c")
HERE, SERVICE = "10.77.0.1", "10.77.0.100"
PORT, REPORTING = 9090, 8000
URL = f"https://{SERVICE}:{PORT}"


def ip(*words: str) -> None:
    """Run `ip`."""
    subprocess.run(["ip", *words], check=True)


def inside(process: int, *words: str) -> None:
    """Run a command in the network namespace of a process."""
    subprocess.run(["nsenter", f"--net=/proc/{process}/ns/net", *words], check=True)


class Node:
    """A network namespace with the one process that made it."""

    def __init__(self, number: int, command: list[str], environment: dict[str, str]) -> None:
        self._link = f"n{number}"
        self.address = f"10.77.{number}.2"
        self.process = subprocess.Popen(
            ["unshare", "--net", *command],
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        one, own = self.process.pid, Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{one}/ns/net").readlink() == own:
            time.sleep(0.01)
        ip("link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", str(one))
        ip("addr", "add", f"10.77.{number}.1/24", "dev", self._link)
        ip("link", "set", self._link, "up")
        inside(one, "ip", "addr", "add", f"{self.address}/24", "dev", "eth0")
        inside(one, "ip", "link", "set", "eth0", "up")
        inside(one, "ip", "link", "set", "lo", "up")
        inside(one, "ip", "route", "add", "default", "via", f"10.77.{number}.1")

    def lose(self) -> None:
        """Let nothing in or out any more, and tell nobody."""
        for chain in ("INPUT", "OUTPUT"):
            inside(self.process.pid, "iptables", "-I", chain, "-j", "DROP")

    def end(self) -> None:
        """End the process; the namespace goes with it."""
        self.process.kill()
        self.process.wait()
        # The kernel removes namespaces in its own time, and the name must be free.
        subprocess.run(["ip", "link", "delete", self._link], check=False, capture_output=True)


def collector(number: int, zone: str, folder: Path) -> Node:
    """Start a collector."""
    environment = {
        "EATS_PORT": str(PORT),
        "PANDAS_PORT": str(REPORTING),
        "PANDAS_SECURE": "true",
        "USAGE_NAME": f"speech-{zone}-0",
        "USAGE_ZONE": zone,
        "USAGE_DATA_DIR": str(folder / zone),
        "USAGE_RESERVE_MB": "1",
    }
    return Node(number, [sys.executable, "-m", "usage_collector", "serve"], environment)


def haproxy(number: int, collectors: list[Node], folder: Path) -> Node:
    """Start a proxy with the operator's configuration, of which only the addresses differ."""
    program = shutil.which("haproxy") or "/usr/sbin/haproxy"
    zones = [{"name": zone} for zone in ZONES]
    resource = context(zones=zones, ingest={"port": PORT, "proxy": {}})
    text = proxy.config(resource)
    for zone, one in zip(ZONES, collectors, strict=True):
        host = resource.names.pod_host(zone, 0)
        text = text.replace(f"{host}.{resource.names.cluster_domain}", one.address)
    file = folder / "haproxy.cfg"
    file.write_text(text)
    return Node(number, [program, "-db", "-f", str(file)], {})


def serve(ends: list[Node]) -> None:
    """Lead the Service's address to its ends as kube-proxy does: each connection at random."""
    table = ["iptables", "-t", "nat"]
    subprocess.run([*table, "-F", "OUTPUT"], check=True)
    match = ["-d", SERVICE, "-p", "tcp", "--dport", str(PORT)]
    for number, end in enumerate(ends):
        share = ["-m", "statistic", "--mode", "random"]
        share += ["--probability", f"{1 / (len(ends) - number):.5f}"]
        target = ["-j", "DNAT", "--to-destination", f"{end.address}:{PORT}"]
        subprocess.run([*table, "-A", "OUTPUT", *match, *share, *target], check=True)


@dataclass
class Told:
    """What became of the posts: seconds of each that was taken, and how many were not."""

    taken: list[float] = field(default_factory=list)
    failed: int = 0


async def post(session: aiohttp.ClientSession, told: Told, attempt: float, url: str) -> None:
    """Post an event as a transcriber does: again and again, until it is taken or time is up."""
    began = time.monotonic()
    body = json.dumps({"event": "BENCH", "n": random.getrandbits(64)})
    while (left := began + PATIENCE - time.monotonic()) > 0:
        wait = aiohttp.ClientTimeout(total=min(left, attempt))
        try:
            async with session.post(f"{url}/v1/log", data=body, timeout=wait) as answer:
                if answer.status == 201:
                    told.taken.append(time.monotonic() - began)
                    return
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass
        await asyncio.sleep(0.05)
    told.failed += 1


async def posts(seconds: float, rate: float, attempt: float, *, keep: bool, url: str = URL) -> Told:
    """Post so many events a second, whether or not earlier ones were answered."""
    told = Told()
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    connector = aiohttp.TCPConnector(ssl=trust, limit=0, force_close=not keep)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as tasks:
        for _ in range(int(seconds * rate)):
            tasks.create_task(post(session, told, attempt, url))
            await asyncio.sleep(1 / rate)
    return told


async def lose(
    lost: list[Node], seconds: float, rate: float, attempt: float, *, keep: bool
) -> Told:
    """Post; lose nodes after 2 s; give what became of the posts, those before included."""
    running = asyncio.create_task(posts(2 + seconds, rate, attempt, keep=keep))
    await asyncio.sleep(2)
    for node in lost:
        await asyncio.to_thread(node.lose)
    return await running


async def whole(number: int) -> None:
    """Wait until the Service answers every one of many posts."""
    for _ in range(200):
        told = await posts(0.5, number * 20, 1, keep=False)
        if not told.failed and max(told.taken) < 1:
            return
    raise SystemExit("the collectors do not all answer")


@dataclass(frozen=True)
class Case:
    """How many proxies there are, how many are lost too, and whether clients prefer a near one."""

    title: str
    proxies: int = 0
    lost: int = 0
    near: bool = False


CASES = (
    Case("none"),
    Case("two, none lost", 2),
    Case("three, one lost, led to all", 3, 1),
    Case("three, one lost, led to the own zone's", 3, 1, near=True),
)


def measure(case: Case, flags: argparse.Namespace, *, keep: bool) -> Told:
    """Give what becomes of posts."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nodes = [collector(n, zone, folder) for n, zone in enumerate(ZONES, 1)]
        for node in nodes:
            stack.callback(node.end)
        fronts = [haproxy(n, nodes, folder) for n in range(11, 11 + case.proxies)]
        for node in fronts:
            stack.callback(node.end)
        serve(fronts[-1:] if case.near else fronts or nodes)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        asyncio.run(whole(len(ZONES)))
        lost = [nodes[0], *fronts[: case.lost]]
        return asyncio.run(lose(lost, flags.seconds, flags.rate, flags.attempt, keep=keep))


def run(flags: argparse.Namespace) -> None:
    """Measure all, and print a table."""
    ip("link", "set", "lo", "up")
    ip("addr", "add", f"{HERE}/32", "dev", "lo")
    ip("route", "add", f"{SERVICE}/32", "dev", "lo", "src", HERE)
    print("| connections | proxies | posts | failed | slower than 1 s | slowest that was taken |")
    print("|---|---|---|---|---|---|")
    for keep in (False, True):
        for case in CASES:
            told = measure(case, flags, keep=keep)
            late = sum(one > 1 for one in told.taken)
            kind = "kept" if keep else "one each"
            total = len(told.taken) + told.failed
            slowest = f"{max(told.taken):.2f} s"
            print(
                f"| {kind} | {case.title} | {total} | {told.failed} | {late} | {slowest} |",
                flush=True,
            )


def main() -> None:
    """Read the flags, and run in a network namespace of our own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="after the loss (default: 20)")
    parser.add_argument("--rate", type=float, default=40, help="posts a second (default: 40)")
    parser.add_argument("--attempt", type=float, default=1, help="seconds of one try (default: 1)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.inside:
        run(flags)
        return
    if os.geteuid() != 0:
        raise SystemExit("network namespaces need root")
    if not (shutil.which("haproxy") or Path("/usr/sbin/haproxy").exists()):
        raise SystemExit("haproxy is missing: apt-get install haproxy")
    command = [sys.executable, "-m", "tests.bench.nodeloss", "--inside", *sys.argv[1:]]
    sys.exit(subprocess.run(["unshare", "--net", *command], check=False).returncode)


if __name__ == "__main__":
    main()
