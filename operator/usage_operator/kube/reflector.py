"""Keeps a mirror up to date with one kind: lists it, then follows what changes.

As client-go's reflector does it: a list in pages, a watch from its version on, a new list when the
API server does not know that version any more (410). Also when it lets nobody watch for a minute:
a mirror must not stand still behind watches that are refused.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from usage_operator import errors, naming

if TYPE_CHECKING:
    from usage_operator.kube.client import Client
    from usage_operator.kube.mirror import Mirror, Place

_log = logging.getLogger(__name__)

_LABELS = {naming.MANAGED_BY: naming.FIELD_MANAGER}
_WATCH = (240, 360)
"""Seconds after which the API server ends a watch: the least and the most."""
_PAUSES = (0.1, 10.0)
"""Seconds between attempts: the first and the longest."""
_TOLD = 5
"""After so many failures in a row somebody should know."""
_PATIENCE = 8
"""After so many, 6 to 13 s, nobody waits for the first list: this kind alone may fail, for ever."""
_BLIND = 60.0
"""Seconds without a watch after which all is listed anew."""
_DENIED = 60.0
"""Seconds until a kind that is unknown, or that we may not watch, is tried again."""


class Reflector:
    """One kind, in one namespace or in all (None)."""

    def __init__(self, client: Client, mirror: Mirror, kind: str, namespace: str | None) -> None:
        self._client = client
        self._mirror = mirror
        self._kind = kind
        self._namespace = namespace
        self._version: str | None = None
        self._failures = 0
        self._seen = 0.0
        self.tried = asyncio.Event()
        """Set when the first list is there, or may not come for long."""

    async def run(self) -> None:
        """Go on for ever."""
        wait = 0.0
        while True:
            await asyncio.sleep(wait)
            wait = await self._attempt()

    async def _attempt(self) -> float:
        """List or follow once; give the seconds until the next attempt."""
        try:
            if self._version is None:
                await self._list()
                self.tried.set()
            await self._follow(self._version or "0")
        except errors.Expired as error:
            pause = self._failed(error)
            self._version = None
            return pause
        except (errors.NotFound, errors.Forbidden) as error:
            # Kinds of other projects need not be there; a right should be.
            level = logging.WARNING if isinstance(error, errors.Forbidden) else logging.DEBUG
            _log.log(
                level, "%s is listed at each look, for it is not watched: %s", self._kind, error
            )
            self._unknown()
            self.tried.set()
            return _DENIED * random.uniform(0.9, 1.1)  # noqa: S311
        except errors.ApiError as error:
            return self._failed(error)
        except Exception:
            # Without its watch the operator would be blind, and would not know it.
            _log.exception("the watch of %s failed", self._kind)
            self._unknown()
            self.tried.set()
            return _PAUSES[1] * random.uniform(0.5, 1)  # noqa: S311
        self._failures = 0
        return 0.0

    def _unknown(self) -> None:
        """List anew next time; what was known is of long ago, and whoever needs it has to ask."""
        self._version = None
        self._mirror.whole(self._kind, self._namespace, known=False)

    def _failed(self, error: errors.ApiError) -> float:
        """Count a failure; give the seconds until the next attempt."""
        self._failures += 1
        if self._failures >= _PATIENCE:
            self.tried.set()
        if self._version is None:
            self._unknown()
        elif asyncio.get_running_loop().time() - self._seen > _BLIND:
            self._version = None
        level = logging.WARNING if self._failures == _TOLD else logging.DEBUG
        _log.log(level, "the watch of %s was cut: %s", self._kind, error)
        pause = min(_PAUSES[0] * 2.0 ** min(self._failures - 1, 20), _PAUSES[1])
        return max(pause * random.uniform(0.5, 1), error.retry_after or 0.0)  # noqa: S311

    async def _list(self) -> None:
        listed: set[Place] = set()
        version = ""
        async for page in self._client.pages(self._kind, self._namespace, _LABELS):
            version = page.version
            for thing in page.items:
                listed.add((thing["metadata"]["namespace"], thing["metadata"]["name"]))
                self._mirror.take(thing)
            # Others want to work too while much is read.
            await asyncio.sleep(0)
        self._mirror.keep(self._kind, self._namespace, listed, version)
        self._mirror.whole(self._kind, self._namespace)
        self._take(version)

    def _take(self, version: str) -> None:
        """Take note of what is known by now."""
        self._version, self._seen = version, asyncio.get_running_loop().time()

    async def _follow(self, version: str) -> None:
        seconds = random.randint(*_WATCH)  # noqa: S311
        events = self._client.follow(self._kind, self._namespace, _LABELS, version, seconds)
        told = False
        async for event in events:
            thing = event["object"]
            self._failures, told = 0, True
            if event["type"] == "DELETED":
                self._mirror.remove(thing)
            elif event["type"] != "BOOKMARK":
                self._mirror.take(thing)
            self._take(thing["metadata"]["resourceVersion"])
        if not told:
            # A bookmark comes each minute: a server that ends watches at once must not be flooded.
            raise errors.ApiUnavailable("it ended before anything was told", "it is tried again")
