"""All namespaces are served with the rights that `allNamespaces` grants, and no others.

No operator runs as a process here: it would serve the namespaces of all other tests as well.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.operator import hollow
from tests.operator.conftest import granted
from tests.operator.live import PATIENCE, Place
from usage_operator import errors, settings, watch
from usage_operator.kube import Access, Client, Mirror, from_file
from usage_operator.reconcile import Key, Reconciler

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kind_helper.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

SETTINGS = settings.Settings(
    namespaces=("*",), collector_image="localhost/none-such:1", probe=False
)


def told(access: Access, wanted: set[Key]) -> None:
    """Watch the resources of all namespaces until all of these were told of."""

    async def run() -> None:
        ready, stop = asyncio.Event(), asyncio.Event()

        def take(key: Key, _: float) -> None:
            wanted.discard(key)
            if not wanted:
                stop.set()

        async with asyncio.timeout(PATIENCE):
            await watch.watch(access, SETTINGS, ("*",), take, ready=ready, stop=stop)

    asyncio.run(run())


async def test_two_namespaces_nobody_named(
    definition: Cluster, namespace: Callable[..., str], tmp_path: Path
) -> None:
    """Resources of both are told of and brought to what they want; Secrets cannot be listed."""
    places = [Place(definition, namespace()), Place(definition, namespace())]
    zones = [{"name": "a", "nodeSelector": hollow.NOWHERE}]
    with granted(definition, places[0].namespace, tmp_path, everywhere=True) as rights:
        access, mirror = from_file(rights.kubeconfig), Mirror(watch.CHILDREN)
        async with (
            Client(access, wrote=mirror.wrote) as client,
            Client(access, connections=0) as reading,
        ):
            eyes = watch.reflectors(reading, mirror, SETTINGS, ("*",))
            tasks = [asyncio.create_task(one.run()) for one in eyes]
            for one in eyes:
                await one.tried.wait()
            for place in places:
                place.apply(zones=zones)
            keys = [Key(place.namespace, place.name) for place in places]
            # In a thread of its own, for kopf takes signals where it can.
            await asyncio.to_thread(told, access, set(keys))
            reconciler = Reconciler(client, SETTINGS, mirror=mirror)
            for key, place in zip(keys, places, strict=True):
                await reconciler(key)
                assert mirror.list("StatefulSet", *key), place.conditions()
                assert place.collectors("sts")
            for key in keys:
                with pytest.raises(errors.Forbidden):
                    await client.list("Secret", key.namespace)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
