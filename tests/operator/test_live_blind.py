"""An API server that lets nobody watch for long: what is known of it does not stand still."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from tests.operator.live import PATIENCE
from tests.operator.proxy import Proxy
from tests.operator.support import context
from usage_operator import naming
from usage_operator.kube import Client, Mirror, Reflector, from_file, reflector
from usage_operator.manifests import accounts

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.operator.live import Place

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

KIND = "ServiceAccount"


def account(place: Place, name: str) -> None:
    """Make a child of the resource behind everybody's back."""
    labels = accounts.build(context(), naming.COLLECTOR)["metadata"]["labels"]
    made = {
        "apiVersion": "v1",
        "kind": KIND,
        "metadata": {"name": name, "labels": labels},
    }
    place.kubectl("create", "-f", "-", stdin=json.dumps(made))


async def until(check: Callable[[], bool]) -> None:
    """Wait for what the mirror learns by and by."""
    async with asyncio.timeout(PATIENCE):
        while not check():  # noqa: ASYNC110 - the mirror has no event for everything
            await asyncio.sleep(0.05)


async def test_watches_that_are_refused_for_long_stop_nobody_from_seeing(
    bare: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What there is is listed instead; when lists are refused too, nothing is taken for known."""
    monkeypatch.setattr(reflector, "_BLIND", 0.5)
    mirror = Mirror([KIND])

    def names() -> list[str] | None:
        known = mirror.list(KIND, bare.namespace, context().names.name)
        return None if known is None else [one["metadata"]["name"] for one in known]

    async with (
        Proxy(from_file(bare.cluster.kubeconfig, bare.cluster.context)) as proxy,
        Client(proxy.access, connections=0) as client,
    ):
        task = asyncio.create_task(Reflector(client, mirror, KIND, bare.namespace).run())
        try:
            await until(lambda: names() == [] and bool(proxy.watches))
            proxy.refuse = {"watch"}
            proxy.end_watches()
            await asyncio.to_thread(account, bare, "one")
            await until(lambda: names() == ["one"])
            proxy.refuse = {"watch", "limit"}
            await asyncio.to_thread(account, bare, "two")
            await until(lambda: names() is None)
            proxy.refuse = set()
            await until(lambda: names() == ["one", "two"] and bool(proxy.watches))
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
