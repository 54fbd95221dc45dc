"""What a lost node costs on a cluster: `python -m tests.bench.nodekill [--seconds 60]`, as root.

A cluster of its own with the operator and a collector in each of three zones; clients of the zones
that stay, which try for 3 s. A node with a collector, and a proxy if there are any, loses power:
without proxies, and with one in each zone. `python -m tests.bench.nodeloss` measures clients on the
lost node's side too. The cluster goes with the benchmark.
"""

import argparse
import asyncio

from tests.bench.nodeloss import PORT, Told, posts
from tests.e2e.system import ROOT, ZONES, System, load_images
from tests.kind_helper import choose, engines, images

NAME = "nodekill"
PROXY = images.reference("proxy")
LOST = ZONES[-1]


def url(system: System) -> str:
    """Give the Service's address, which is reached by way of the nodes that live."""
    return f"https://{system.get('service', system.name)['spec']['clusterIP']}:{PORT}"


def whole(system: System) -> None:
    """Wait until the Service answers every one of many posts."""
    for _ in range(60):
        told = asyncio.run(posts(2, 20, 1, keep=False, url=url(system)))
        if not told.failed and max(told.taken) < 1:
            return
    raise SystemExit("the collectors do not all answer")


async def lose(system: System, flags: argparse.Namespace) -> Told:
    """Post; lose the node after 3 s; give what became of the posts, those before included."""
    running = asyncio.create_task(
        posts(3 + flags.seconds, flags.rate, flags.attempt, keep=False, url=url(system))
    )
    await asyncio.sleep(3)
    await asyncio.to_thread(system.cluster.kill_node, LOST)
    return await running


def run(system: System, flags: argparse.Namespace) -> None:
    """Measure both, and print a table."""
    print("| proxies | posts | failed | slower than 1 s | slowest that was taken |")
    print("|---|---|---|---|---|")
    for proxies in (0, len(ZONES)):
        ingest = {"proxy": {"replicas": proxies}} if proxies else {}
        system.apply(system.resource({"ingest": ingest}))
        system.wait_ready(300)
        whole(system)
        told = asyncio.run(lose(system, flags))
        late, total = sum(one > 1 for one in told.taken), len(told.taken) + told.failed
        slowest = f"{max(told.taken):.2f} s"
        print(f"| {proxies} | {total} | {told.failed} | {late} | {slowest} |", flush=True)
        system.cluster.restart_node(LOST)


def main() -> None:
    """Read the flags, bring the cluster up, and take it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="after the loss (default: 60)")
    parser.add_argument("--rate", type=float, default=20, help="posts a second (default: 20)")
    parser.add_argument("--attempt", type=float, default=1, help="seconds of one try (default: 1)")
    flags = parser.parse_args()
    cluster = choose.up(NAME)
    try:
        load_images(cluster)
        file = ROOT / "tests" / "e2e" / "proxy.Containerfile"
        base = None if engines.running_engine() else images.base_image()
        cluster.load(images.build(file, PROXY, base, inputs=()), PROXY)
        system = System(cluster, NAME)
        system.create_namespace()
        system.install(f"--set=proxyImage={PROXY}")
        run(system, flags)
    finally:
        choose.down(NAME)


if __name__ == "__main__":
    main()
