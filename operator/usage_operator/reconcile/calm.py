"""Resources that are settled: only what is not watched is looked at until something happens.

That is the Secrets, for watching them would be the right to read all, and what else users made.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from usage_operator.plan import Ref, ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from usage_operator.kube import Client
    from usage_operator.plan import Object
    from usage_operator.reconcile.key import Key


UNSETTLED_SECONDS = 5.0
SLOW_SECONDS, SLOWEST_SECONDS = 20.0, 60.0
_OFTEN, _PATIENT = 4, 20
"""So many looks come one soon after the other; so many, five minutes of them, not far apart."""

Versions = dict[Ref, str | None]


def versions(objects: Iterable[Object]) -> Versions:
    """Give the resource version of each object."""
    return {ref(one): one["metadata"].get("resourceVersion") for one in objects}


class Patience:
    """How soon resources that are not Ready are looked at again: not all of it is watched.

    At first often, then less often while nothing happens to them, for there may be many; after
    five minutes once a minute, not all at the same moment.
    """

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._looks: dict[Key, int] = {}
        self._jitter = jitter

    def forget(self, key: Key) -> None:
        """Begin anew: something happened, or all is well."""
        self._looks.pop(key, None)

    def seconds(self, key: Key) -> float:
        """Give the seconds until the next look."""
        before = self._looks.get(key, 0)
        self._looks[key] = before + 1
        if before >= _PATIENT:
            return SLOWEST_SECONDS * (1 - self._jitter() / 5)
        return min(UNSETTLED_SECONDS * 2.0 ** max(0, before - _OFTEN), SLOW_SECONDS)


class Calm:
    """Remembers what is not watched of settled resources, by versions."""

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
        """Tell whether a resource was settled, and what is not watched is as it was."""
        before = self._settled.get(key)
        if before is None:
            return False
        found = await asyncio.gather(
            *(client.get(one.kind, key.namespace, one.name) for one in before)
        )
        return versions(one for one in found if one is not None) == before
