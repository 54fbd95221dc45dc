"""Resources that are settled: of them, only the Secrets are looked at until something happens.

Everything else that matters is watched. Secrets are not, for that would be the right to read all.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from usage_operator.kube import Client
    from usage_operator.plan import Object
    from usage_operator.reconcile.key import Key


Versions = dict[str, str | None]


def versions(secrets: Iterable[Object]) -> Versions:
    """Give the resource version of each Secret, by name."""
    return {one["metadata"]["name"]: one["metadata"].get("resourceVersion") for one in secrets}


class Calm:
    """Remembers the Secrets of settled resources, by their versions."""

    def __init__(self) -> None:
        self._settled: dict[Key, Versions] = {}
        self._beginnings: set[Key] = set()

    def disturb(self, key: Key) -> None:
        """Take note that something happened: the next look is at everything."""
        self._settled.pop(key, None)
        self._beginnings.discard(key)

    def begin(self, key: Key) -> None:
        """Take note that everything is being looked at from now on."""
        self.disturb(key)
        self._beginnings.add(key)

    def settle(self, key: Key, seen: Versions) -> None:
        """Remember these versions, unless something happened since the look began."""
        if key in self._beginnings:
            self._beginnings.discard(key)
            self._settled[key] = seen

    async def holds(self, client: Client, key: Key) -> bool:
        """Tell whether a resource was settled and its Secrets are as they were."""
        before = self._settled.get(key)
        if before is None:
            return False
        found = await asyncio.gather(
            *(client.get("Secret", key.namespace, name) for name in before)
        )
        return versions(one for one in found if one is not None) == before
