"""An API server that is busy, forgets, or is away: the operator goes on by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.operator import hollow
from tests.operator.conftest import Operator, granted
from tests.operator.proxy import Proxy
from usage_operator.kube import from_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.operator.conftest import Rights
    from tests.operator.live import Place

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

ZONES = [{"name": "a", "nodeSelector": hollow.NOWHERE}]
AWAY_SECONDS = 60
IMAGE = "localhost/none-such:1"


def through(rights: Rights, proxy: Proxy, folder: Path) -> Rights:
    """Give the same rights by way of the proxy, which shows the credentials."""
    document = {
        "clusters": [{"name": "it", "cluster": {"server": proxy.access.server}}],
        "users": [{"name": "it", "user": {}}],
        "contexts": [
            {
                "name": "it",
                "context": {
                    "cluster": "it",
                    "user": "it",
                    "namespace": proxy.access.namespace,
                },
            }
        ],
        "current-context": "it",
    }
    file = folder / "through"
    file.write_text(yaml.safe_dump(document))
    return type(rights)(file, rights.cluster_wide)


@pytest.fixture
async def between(bare: Place, tmp_path: Path) -> AsyncIterator[tuple[Proxy, Operator]]:
    """Give an operator that runs, and the proxy between it and the API server."""
    with granted(bare.cluster, bare.namespace, tmp_path) as rights:
        async with Proxy(from_file(rights.kubeconfig, None)) as proxy:
            operator = Operator(through(rights, proxy, tmp_path), IMAGE, tmp_path / "operator.log")
            operator.start()
            try:
                await asyncio.to_thread(bare.apply, zones=ZONES)
                await asyncio.to_thread(
                    bare.until, "all is made", lambda: bare.conditions().get("Ready")
                )
                yield proxy, operator
            finally:
                operator.kill()


async def lose(place: Place, *what: str) -> None:
    """Delete something."""
    await asyncio.to_thread(place.kubectl, "delete", *what)


async def back(place: Place, *what: str) -> None:
    """Wait until it is there again."""

    def there() -> Any:
        return place.kubectl("get", *what, "--ignore-not-found", "-o", "name")

    await asyncio.to_thread(place.until, f"{what} is back", there)


async def test_it_goes_on_by_itself(bare: Place, between: tuple[Proxy, Operator]) -> None:
    """Through watches that were cut or have expired, refusals, and an API server that was away."""
    proxy, operator = between
    budget, peers = ("pdb", f"{bare.name}-collector"), ("configmap", f"{bare.name}-peers")
    proxy.expire = 30
    proxy.leave()
    proxy.away = False
    await lose(bare, *budget)
    await back(bare, *budget)
    await asyncio.to_thread(bare.until, "all have expired", lambda: not proxy.expire)

    proxy.storm = 6
    await lose(bare, *peers)
    await back(bare, *peers)
    assert proxy.storm == 0

    proxy.leave()
    await lose(bare, *budget)
    await asyncio.to_thread(bare.apply, zones=[*ZONES, {**ZONES[0], "name": "b"}])
    await asyncio.sleep(AWAY_SECONDS)
    proxy.away = False
    await back(bare, *budget)
    await back(bare, "statefulset", f"{bare.name}-b")

    # One that begins meanwhile waits for it.
    operator.stop()
    proxy.leave()
    operator.start()
    await asyncio.to_thread(
        bare.until, "it waits", lambda: "asked again in" in operator.log.read_text()
    )
    await lose(bare, *peers)
    proxy.away = False
    await back(bare, *peers)
    assert "Traceback" not in operator.log.read_text()
