"""How soon the operator acts: `python -m tests.bench.repair [--rounds 5] [--save]`.

On the cluster that `python -m tests.kind_helper up` brings up. From when the API server has deleted
a child until there is another; and, with two operators of which one holds the Lease, from when that
one has ended until the other mends what is missing. Pods run on no node.
"""

import argparse
import asyncio
import secrets
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.bench import figures
from tests.kind_helper import choose
from tests.kind_helper.fixtures import namespace_object
from tests.operator import hollow
from tests.operator.conftest import DEPLOY, Operator, granted
from tests.operator.live import Place
from usage_operator.kube import Access, Client, from_file

ZONES = [
    {"name": "a", "nodeSelector": hollow.NOWHERE},
    {"name": "b", "nodeSelector": hollow.NOWHERE},
]
NAME = "speech"
CHILDREN = {
    "ServiceAccount": f"{NAME}-collector",
    "ConfigMap": f"{NAME}-peers",
    "Service": NAME,
    "PodDisruptionBudget": f"{NAME}-collector",
    "CronJob": f"{NAME}-export",
    "NetworkPolicy": f"{NAME}-collector",
    "StatefulSet": f"{NAME}-a",
}
BUDGET = ("PodDisruptionBudget", CHILDREN["PodDisruptionBudget"])


class Bench:
    """A namespace with operators, and a client of the API server."""

    def __init__(self, client: Client, place: Place, kubelet: hollow.Kubelet) -> None:
        self._client = client
        self._place = place
        self._kubelet = kubelet

    async def lose(self, kind: str, name: str) -> str:
        """Delete a child; give its uid."""
        there = await self._client.get(kind, self._place.namespace, name)
        assert there is not None
        await self._client.delete(there, "Orphan" if kind == "StatefulSet" else "Background")
        return str(there["metadata"]["uid"])

    async def back(self, kind: str, name: str, lost: str) -> float:
        """Wait until there is another; give the seconds that it took."""

        async def there() -> bool:
            found = await self._client.get(kind, self._place.namespace, name)
            return found is not None and found["metadata"]["uid"] != lost

        return await until(there)

    async def settle(self) -> None:
        """Wait until the resource is Ready."""

        async def ready() -> bool:
            late = await self._kubelet.look()
            found = await asyncio.to_thread(self._place.conditions)
            return not late and found.get("Ready", ("",))[0] == "True"

        await until(ready)

    async def repairs(self, rounds: int) -> list[float]:
        """Let each child be lost so many times."""
        seconds = []
        for _ in range(rounds):
            for kind, name in CHILDREN.items():
                await self.settle()
                seconds.append(await self.back(kind, name, await self.lose(kind, name)))
        return seconds

    async def handovers(
        self, pair: list[Operator], end: Callable[[Operator], None], rounds: int
    ) -> list[float]:
        """End who works, and lose something at that moment: the other one mends it."""
        seconds = []
        for _ in range(rounds):
            await self.settle()
            await asyncio.to_thread(end, pair[0])
            seconds.append(await self.back(*BUDGET, await self.lose(*BUDGET)))
            ended = pair.pop(0)
            ended.log.write_text("")
            ended.start()
            await asyncio.to_thread(waiting, self._place, ended)
            pair.append(ended)
        return seconds


async def until(check: Callable[[], Awaitable[bool]]) -> float:
    """Ask every hundredth of a second; give the seconds that it took."""
    began = time.monotonic()
    async with asyncio.timeout(120):
        while not await check():  # noqa: ASYNC110 - the API has no event for everything
            await asyncio.sleep(0.01)
    return time.monotonic() - began


def waiting(place: Place, operator: Operator, word: str = "waiting") -> None:
    """Wait until an operator waits for the Lease, or serves."""
    place.until(word, lambda: word in operator.log.read_text())


async def measure(access: Access, place: Place, pair: list[Operator], rounds: int) -> str:
    """Give the figures as a Markdown table."""
    async with Client(access) as client, hollow.Kubelet(access, place.namespace) as kubelet:
        bench = Bench(client, place, kubelet)
        found = {
            "a child was deleted": await bench.repairs(rounds),
            "a clean stop": await bench.handovers(pair, Operator.stop, rounds),
            "a kill": await bench.handovers(pair, Operator.kill, rounds),
        }
    lines = ["| seconds after | median | slowest | of |", "|---|---|---|---|"]
    for what, seconds in found.items():
        median = statistics.median(seconds)
        lines.append(f"| {what} | {median:.2f} | {max(seconds):.2f} | {len(seconds)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the flags and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each (default: 5)")
    parser.add_argument("--save", action="store_true", help="into RESULTS.md")
    flags = parser.parse_args()
    text = run(flags.rounds)
    print(text)
    if flags.save:
        figures.save("repair", f"repair --rounds {flags.rounds}", text)


def run(rounds: int) -> str:
    """Let two operators serve a namespace of their own, and measure."""
    cluster = choose.up()
    for file in ("crd/usagecollectors.yaml", "base/delete-warning.yaml"):
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(DEPLOY / file))
    place = Place(cluster, f"bench-repair-{secrets.token_hex(3)}", NAME)
    cluster.kubectl("create", "-f", "-", input=namespace_object(place.namespace, "restricted"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        with granted(cluster, place.namespace, path) as rights:
            image, flag = "localhost/none-such:1", "--leader-election=on"
            pair = [Operator(rights, image, path / f"{n}.log", flag) for n in range(2)]
            try:
                for one, word in zip(pair, ("serving", "waiting"), strict=True):
                    one.start()
                    waiting(place, one, word)
                place.apply(zones=ZONES, minReadySeconds=0)
                access = from_file(cluster.kubeconfig, cluster.context)
                return asyncio.run(measure(access, place, pair, rounds))
            finally:
                for one in pair:
                    one.kill()
                cluster.kubectl("delete", "namespace", place.namespace, "--wait=false")


if __name__ == "__main__":
    main()
