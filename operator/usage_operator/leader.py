"""The Lease: of several operators one works, and another takes over when it is gone.

The rules are those of client-go's leader election: a holder that has not renewed for the Lease's
duration, by the clock of whoever looks, has lost it; clocks of different machines are never
compared. A holder counts its own time from before it asked, less a margin, so that it stops first.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from typing import TYPE_CHECKING

from usage_operator import errors, metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from usage_operator.kube import Client
    from usage_operator.plan import Object

_log = logging.getLogger(__name__)

DURATION = 12
"""Seconds after which a Lease that was not renewed is free."""
_MARGIN = 3.0
_INTERVAL = 2.0
"""Seconds between renewals, and between looks of those who wait."""


class Leader:
    """One candidate. ``holds()`` is asked before every write, and never waits."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        identity: str,
        lease: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._identity = identity
        self._lease = lease
        self._clock = clock
        self._until = float("-inf")
        self._seen: tuple[str | None, float] = (None, 0.0)

    def holds(self) -> bool:
        """Tell whether nobody else can hold the Lease now."""
        return self._clock() < self._until

    async def attempt(self) -> bool:
        """Take or renew the Lease if it is ours or free; ApiError where that cannot be known."""
        began = self._clock()
        lease = await self._client.get("Lease", self._namespace, self._lease)
        if lease is not None and not self._free(lease, began):
            return False
        try:
            await self._write(lease, self._identity)
        except errors.Conflict:
            return False
        self._until = began + DURATION - _MARGIN
        metrics.LEADING.set(1)
        return True

    def _free(self, lease: Object, now: float) -> bool:
        holder = lease["spec"].get("holderIdentity")
        if not holder or holder == self._identity:
            return True
        version = lease["metadata"]["resourceVersion"]
        if self._seen[0] != version:
            self._seen = (version, now)
        return now - self._seen[1] > (lease["spec"].get("leaseDurationSeconds") or DURATION)

    async def _write(self, lease: Object | None, holder: str) -> None:
        """Write over exactly what was read; Conflict: somebody else was quicker."""
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        metadata = {"name": self._lease, "namespace": self._namespace}
        spec = {"leaseDurationSeconds": DURATION, "renewTime": now, "holderIdentity": holder}
        document: Object = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": spec,
        }
        if lease is None:
            await self._client.create(document)
        else:
            version = lease["metadata"]["resourceVersion"]
            await self._client.apply(
                document | {"metadata": metadata | {"resourceVersion": version}}
            )

    async def acquire(self) -> None:
        """Wait until the Lease is ours. Forbidden is raised: waiting would not help."""
        while True:
            try:
                if await self.attempt():
                    return
            except errors.Forbidden:
                raise
            except errors.ApiError as error:
                _log.warning("the Lease could not be looked at: %s", error)
            await asyncio.sleep(_INTERVAL)

    async def keep(self) -> None:
        """Renew the Lease as long as that works; returns when it is lost."""
        while self.holds():
            await asyncio.sleep(_INTERVAL)
            try:
                if not await asyncio.wait_for(self.attempt(), _INTERVAL):
                    break
            except (TimeoutError, errors.ApiError) as error:
                _log.warning("the Lease could not be renewed: %s", error or "no answer")
            except Exception:
                # Who renews no more and goes on would write nothing, and leave nothing to others.
                _log.exception("the Lease could not be renewed")
        self._until = float("-inf")
        metrics.LEADING.set(0)

    async def release(self) -> None:
        """Give the Lease back at once, so that nobody has to wait for it to expire."""
        if not self.holds():
            return
        self._until = float("-inf")
        metrics.LEADING.set(0)
        try:
            lease = await self._client.get("Lease", self._namespace, self._lease)
            if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                await self._write(lease, "")
        except errors.ApiError as error:
            _log.warning("the Lease could not be given back: %s", error)
