"""The operator cut off at every call of a first reconcile, a rollout, a growth and a deletion.

An operator keeps no state, so one that was killed is a reconciler that is never called again. What
a cut leaves behind depends on the calls that write alone: a cut at a call that reads leaves what
the write before it left.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.operator import hollow
from tests.operator.live import PATIENCE
from tests.operator.proxy import Proxy
from usage_operator import errors, settings
from usage_operator.kube import Client, from_file
from usage_operator.reconcile import Key, Reconciler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.operator.live import Place

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

SETTINGS = settings.Settings(collector_image="localhost/none-such:1", probe=False)
SELECTOR = {"nodeSelector": hollow.NOWHERE, "storageClassName": hollow.CLASS}
ZONES = [{"name": "a", **SELECTOR}, {"name": "b", **SELECTOR}]


class Bench:
    """A namespace without an operator, a proxy to its API server, and a kubelet of paper."""

    def __init__(self, place: Place, proxy: Proxy, kubelet: hollow.Kubelet) -> None:
        self._place = place
        self.proxy = proxy
        self.kubelet = kubelet
        self.volumes: set[str] = set()
        self.name = ""

    @property
    def place(self) -> Place:
        """Give the namespace, with the resource of this moment."""
        return replace(self._place, name=self.name)

    def apply(self, **fields: Any) -> None:
        """Apply the resource."""
        wanted: dict[str, Any] = {"zones": ZONES, "minReadySeconds": 0} | fields
        self.place.apply(**wanted)

    async def reconcile(self) -> bool:
        """Let a new operator reconcile until it is cut off or nothing more is to do.

        Tell whether it was cut off.
        """
        async with Client(self.proxy.access) as client:
            reconciler = Reconciler(client, SETTINGS)
            key = Key(self.place.namespace, self.name)
            end = asyncio.get_running_loop().time() + PATIENCE
            while asyncio.get_running_loop().time() < end:
                try:
                    await reconciler(key)
                except errors.ApiUnavailable:
                    if self.proxy.was_cut:
                        return True
                except errors.Conflict:
                    pass
                if self.proxy.was_cut:
                    # What is only told, as Events are, does not end a reconcile.
                    return True
                unbound, late = await self.kubelet.bind(), await self.kubelet.look()
                self.volumes |= set(unbound)
                if not (unbound or late) and await self.ready():
                    return False
                await asyncio.sleep(0.1)
        raise AssertionError(f"not ready: {self.place.conditions()}")

    async def ready(self) -> bool:
        """Tell whether the resource's present generation is Ready, by a call past the proxy."""
        async with Client(self.kubelet._access) as client:
            found = await client.get("UsageCollector", self.place.namespace, self.name)
        if found is None:
            return True
        status = found.get("status") or {}
        return status.get("observedGeneration") == found["metadata"]["generation"] and any(
            one["type"] == "Ready" and one["status"] == "True" for one in status["conditions"]
        )

    async def children(self) -> dict[str, str]:
        """Give the uid of everything that belongs to the resource, by kind and name."""
        kinds = "statefulset,service,configmap,serviceaccount,pvc,pdb,cronjob,networkpolicy,secret"
        label = f"app.kubernetes.io/instance={self.name}"
        found = await asyncio.to_thread(self.place.get, kinds, "-l", label)
        return {
            f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["uid"]
            for one in found["items"]
        }

    async def walk(
        self,
        begin: Callable[[int], Awaitable[None]],
        check: Callable[[], Awaitable[None]],
    ) -> int:
        """Cut off at one call that writes after the other; give how many there were.

        ``begin`` sets a run up, ``check`` looks at what the next operator made of it.
        """
        number, cut = 0, True
        while cut:
            number += 1
            await begin(number)
            self.proxy.begin(number)
            cut = await self.reconcile()
            self.proxy.begin()
            await self.reconcile()
            await check()
        return number - 1


@pytest.fixture
async def bench(bare: Place) -> AsyncIterator[Bench]:
    """Give the bench; its volumes go with the test."""
    access = from_file(bare.cluster.kubeconfig, bare.cluster.context or None)
    async with Proxy(access) as proxy, hollow.Kubelet(access, bare.namespace) as kubelet:
        await kubelet.store()
        made = Bench(bare, proxy, kubelet)
        made.name = f"s{secrets.token_hex(3)}"
        yield made
        await kubelet.remove_volumes(made.volumes)


async def test_cut_off_during_the_first_reconcile(bench: Bench) -> None:
    """Whatever was written, the next operator completes it; keys and tokens are made once."""
    reference: set[str] = set()

    async def begin(_: int) -> None:
        if bench.name:
            bench.place.kubectl("delete", "uc", bench.name, "--ignore-not-found", "--wait=false")
        bench.name = f"s{secrets.token_hex(3)}"
        bench.apply()

    async def check() -> None:
        made = {one.replace(bench.name, "NAME") for one in await bench.children()}
        reference.update(made if not reference else ())
        assert made == reference

    assert await bench.walk(begin, check) > 20
    assert {"Secret/NAME-keys", "StatefulSet/NAME-b"} <= reference


async def test_cut_off_during_a_rollout(bench: Bench) -> None:
    """Every zone gets the change, and nothing but the pods is made anew."""
    bench.apply()
    await bench.reconcile()
    before = await bench.children()
    mark = ""

    async def begin(number: int) -> None:
        nonlocal mark
        mark = f"m{number}"
        bench.apply(template={"annotations": {"example.org/mark": mark}})

    async def check() -> None:
        assert await bench.children() == before
        pods = bench.place.collectors("pod")
        marks = {pod["metadata"]["annotations"]["example.org/mark"] for pod in pods}
        assert (len(pods), marks) == (2, {mark})

    assert await bench.walk(begin, check) > 3


async def test_cut_off_during_a_growth(bench: Bench) -> None:
    """Claims grow, StatefulSets are made anew around the same pods, and no claim is lost."""
    bench.apply(storage={"size": "1Gi"})
    await bench.reconcile()
    claims = {key: uid for key, uid in (await bench.children()).items() if "Claim" in key}
    pods = bench.place.pods()
    size = ""

    async def begin(number: int) -> None:
        nonlocal size
        size = f"{number + 1}Gi"
        bench.apply(storage={"size": size})

    async def check() -> None:
        now = await bench.children()
        assert {key: uid for key, uid in now.items() if "Claim" in key} == claims
        assert bench.place.pods() == pods
        for kind in ("pvc", "sts"):
            for one in bench.place.collectors(kind):
                spec = one["spec"]
                where = spec["volumeClaimTemplates"][0]["spec"] if kind == "sts" else spec
                assert where["resources"]["requests"]["storage"] == size

    assert await bench.walk(begin, check) > 6


async def test_cut_off_during_a_deletion(bench: Bench) -> None:
    """Volumes and keys stay, all else goes, and it is told once."""
    bench.apply()
    await bench.reconcile()
    kept = {
        key: uid
        for key, uid in (await bench.children()).items()
        if key.startswith("PersistentVolumeClaim") or key.endswith(("-keys", "-ca-key"))
    }
    assert len(kept) == 5
    bench.place.kubectl("delete", "uc", bench.name)

    async def begin(_: int) -> None:
        return

    async def check() -> None:
        found = await bench.children()
        assert kept.items() <= found.items()

    await bench.walk(begin, check)
    async with asyncio.timeout(PATIENCE):
        # The garbage collector takes one after the other.
        while (await bench.children()).items() != kept.items():  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    told = bench.place.get("events", "--field-selector=reason=VolumesKept")["items"]
    assert len(told) == 1
