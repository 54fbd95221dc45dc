"""How many requests a look costs with a mirror, and that what it leaves out is not missed.

A real API server; pods run nowhere, a kubelet of paper says that they are ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.operator import hollow
from tests.operator.live import PATIENCE, later
from usage_operator import errors, settings, watch
from usage_operator.kube import Client, Mirror, client, from_file
from usage_operator.reconcile import SETTLED_SECONDS, Key, Reconciler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.operator.live import Place

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

SETTINGS = settings.Settings(collector_image="localhost/none-such:1", probe=False)
ZONES = [
    {"name": name, "nodeSelector": hollow.NOWHERE, "storageClassName": hollow.CLASS}
    for name in ("a", "b", "c")
]
CHILDREN = "statefulset,service,configmap,serviceaccount,pvc,pdb,cronjob,networkpolicy,secret"


@dataclass
class Desk:
    """A resource, the operator's eyes and hands, and a kubelet of paper."""

    place: Place
    client: Client
    reconciler: Reconciler
    kubelet: hollow.Kubelet

    def apply(self, **fields: Any) -> None:
        """Apply the resource."""
        wanted: dict[str, Any] = {"zones": ZONES, "minReadySeconds": 0} | fields
        self.place.apply(**wanted)

    async def look(self, *, whole: bool = True) -> dict[str, int]:
        """Look at the resource, at all of it or as the operator does now and then.

        Give the requests that it took, by verb.
        """
        key = Key(self.place.namespace, self.place.name)
        if whole:
            self.reconciler.disturb(key)
        before = dict(self.client.requests)
        with contextlib.suppress(errors.Conflict):
            # What was changed meanwhile is looked at again.
            await self.reconciler(key)
        return {verb: n - before.get(verb, 0) for verb, n in self.client.requests.items()}

    async def settle(self) -> None:
        """Look until the resource is Ready and a whole look writes nothing."""
        end = asyncio.get_running_loop().time() + PATIENCE
        while asyncio.get_running_loop().time() < end:
            taken = await self.look()
            late = await self.kubelet.look()
            writes = sum(n for verb, n in taken.items() if verb != "GET")
            if not (writes or late) and self.place.conditions()["Ready"][0] == "True":
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"not settled: {self.place.conditions()}")


@pytest.fixture
async def desk(bare: Place, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """Give a namespace that is watched; what all resources share is asked for but once."""
    monkeypatch.setattr(client, "_OFFER_SECONDS", 3600.0)
    access = from_file(bare.cluster.kubeconfig, bare.cluster.context or None)
    mirror = Mirror(watch.CHILDREN)
    async with (
        Client(access, wrote=mirror.wrote, remember=3600) as writing,
        Client(access, connections=0) as reading,
        hollow.Kubelet(access, bare.namespace) as kubelet,
    ):
        await kubelet.store()
        eyes = watch.reflectors(reading, mirror, SETTINGS, (bare.namespace,))
        tasks = [asyncio.create_task(one.run()) for one in eyes]
        try:
            for one in eyes:
                await one.tried.wait()
            place = replace(bare, name=f"s{secrets.token_hex(3)}")
            yield Desk(place, writing, Reconciler(writing, SETTINGS, mirror=mirror), kubelet)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_looks_cost(desk: Desk) -> None:
    """The first creates each object and asks for none of them; a quiet one writes nothing."""
    desk.apply(export=later())
    first = await desk.look()
    label = f"app.kubernetes.io/instance={desk.place.name}"
    made = [
        one
        for one in desk.place.get(CHILDREN, "-l", label)["items"]
        if not one["metadata"]["name"].startswith("data-")
    ]
    # The resource, its storage class, and which kinds there are (by two groups).
    assert first == {"GET": 4, "POST": len(made), "PATCH": 1}
    assert len(made) == 21
    await desk.settle()
    written = desk.place.written()
    # The resource and its four Secrets; its storage class was there a moment ago.
    assert (await desk.look())["GET"] == 5
    assert (await desk.look(whole=False))["GET"] == 4
    assert desk.place.written() == written


async def test_a_lost_secret_is_back_within_a_minute(desk: Desk) -> None:
    """Secrets are not watched: the look that comes each minute by itself finds what they lack."""
    desk.apply()
    await desk.settle()
    name = f"{desk.place.name}-tokens"
    desk.place.kubectl("delete", "secret", name)
    await desk.look(whole=False)
    assert desk.place.get("secret", name)["data"].keys() >= {"tokens", "admin"}
    await desk.settle()
    desk.place.kubectl("patch", "secret", name, "-p", '{"data":{"admin":null}}')
    await desk.look(whole=False)
    assert "admin" in desk.place.get("secret", name)["data"]
    assert SETTLED_SECONDS < 60


async def test_what_was_created_can_be_taken_away(desk: Desk) -> None:
    """A field that is not wanted any more goes, and what others added stays."""
    desk.apply(template={"annotations": {"example.org/mine": "1"}})
    await desk.look()
    name = f"{desk.place.name}-a"
    desk.place.kubectl("annotate", "sts", name, "example.org/theirs=1")
    desk.apply()
    await desk.settle()
    there = desk.place.get("sts", name)
    assert "example.org/mine" not in str(there["spec"])
    assert there["metadata"]["annotations"]["example.org/theirs"] == "1"
    ours = [
        entry["operation"]
        for entry in desk.place.get("sts", name, "--show-managed-fields")["metadata"][
            "managedFields"
        ]
        if entry["manager"] == "usage-operator"
    ]
    assert ours == ["Apply"]


async def test_a_name_that_is_another_s(desk: Desk) -> None:
    """It is not touched though nobody asked for it before, and nothing is begun around it."""
    desk.place.kubectl("create", "service", "clusterip", desk.place.name, "--tcp=1:1")
    before = desk.place.get("service", desk.place.name)
    desk.apply()
    for _ in range(2):
        await desk.look()
        assert desk.place.conditions()["Ready"][:2] == ("False", "NameTaken")
    assert desk.place.get("service", desk.place.name) == before
    assert desk.place.collectors("sts") == []
    desk.place.kubectl("delete", "service", desk.place.name)
    await desk.settle()


async def test_keys_that_were_kept_are_kept(desk: Desk) -> None:
    """A resource made anew finds the keys of the one before it, which nothing shows but them."""
    desk.apply()
    await desk.settle()
    keys = desk.place.get("secret", f"{desk.place.name}-keys")["data"]
    desk.place.kubectl("delete", "uc", desk.place.name)
    # Volumes would tell that there was one.
    desk.place.kubectl("delete", "pvc", "--all", "--wait=false")
    for kind in ("sts", "pod"):
        desk.place.wait(kind, "--all", "--for=delete")
    desk.apply()
    await desk.settle()
    assert desk.place.get("secret", f"{desk.place.name}-keys")["data"] == keys
