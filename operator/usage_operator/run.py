"""The operator as a process: puts the parts together, and takes them apart on SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from usage_operator import errors, health, metrics, naming, watch
from usage_operator.kube import Client, Mirror
from usage_operator.leader import Leader
from usage_operator.reconcile import Key, Reconciler
from usage_operator.workqueue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from usage_operator.kube import Access
    from usage_operator.settings import Settings

_log = logging.getLogger(__name__)

_AGAIN_SECONDS = 2.0


class _Measured:
    """A reconciler that is timed and counted."""

    def __init__(self, reconcile: Reconciler) -> None:
        self._reconcile = reconcile

    async def __call__(self, key: Key) -> float | None:
        began = time.perf_counter()
        try:
            return await self._reconcile(key)
        except Exception as error:
            metrics.FAILURES.labels(type(error).__name__).inc()
            raise
        finally:
            metrics.RECONCILES.observe(time.perf_counter() - began)


async def _installed(client: Client, namespaces: tuple[str, ...], *, everywhere: bool) -> None:
    """Fail early, and say why, where the definition or the right to read it is missing.

    An API server that is away is waited for: whoever ends is started again late by a kubelet.
    """
    for namespace in (None,) if everywhere else namespaces:
        try:
            while not await _answers(client, namespace):
                pass
        except errors.NotFound as error:
            raise errors.InvalidSettings(
                f"the cluster does not know {naming.PLURAL}.{naming.GROUP}",
                "install the definition: usage-operator crd | kubectl apply -f -",
            ) from error
        except errors.Forbidden as error:
            place = f"in namespace {namespace}" if namespace else "in all namespaces"
            raise errors.InvalidSettings(
                f"the operator may not list {naming.PLURAL} {place} ({error.detail})",
                "bind the ClusterRole usage-operator to its service account there",
            ) from error


async def _answers(client: Client, namespace: str | None) -> bool:
    """Tell whether the API server lists our resources; not so, a little later, when it is away."""
    try:
        async for _ in client.pages(naming.KIND, namespace, {}, size=1):
            break
    except errors.ApiUnavailable as error:
        _log.warning("%s; asked again in %.0f s at most", error, _AGAIN_SECONDS)
        await asyncio.sleep(_AGAIN_SECONDS * random.uniform(0.5, 1))  # noqa: S311
        return False
    return True


async def run(settings: Settings, access: Access) -> None:
    """Run until SIGTERM or SIGINT. InvalidSettings when it cannot begin, LeaseLost at the end."""
    place = settings.own_namespace or access.namespace
    async with Client(access) as own:
        leader = Leader(own, place, f"{socket.gethostname()}_{os.getpid()}", settings.lease)
        permit = leader.holds if settings.leader_election else lambda: True
        mirror = Mirror(watch.CHILDREN)
        async with (
            Client(access, permit, mirror.wrote, remember=settings.resync_seconds) as client,
            Client(access, connections=0) as reading,
        ):
            chosen = leader if settings.leader_election else None
            operator = _Operator(client, reading, mirror, settings, chosen)
            try:
                await operator.run()
            finally:
                await leader.release()
    _log.info("stopped")


class _Operator:
    """The parts of a running operator, and the order in which they begin and end."""

    def __init__(
        self,
        client: Client,
        reading: Client,
        mirror: Mirror,
        settings: Settings,
        leader: Leader | None,
    ) -> None:
        self._client = client
        self._reading = reading
        self._mirror = mirror
        self._settings = settings
        self._leader = leader
        self._namespaces = settings.served(client.access.namespace)
        self._reconciler = Reconciler(client, settings, mirror=mirror)
        self._queue = WorkQueue(_Measured(self._reconciler))
        self._ready, self._stop, self._asked = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._waiting = False

    async def run(self) -> None:
        """Wait for the Lease if there is one to hold, then work until told to stop."""
        settings = self._settings
        metrics.QUEUE.set_function(lambda: len(self._queue))
        # Whoever waits for the Lease is as ready as can be.
        runner = await health.serve(
            settings.host, settings.port, lambda: self._waiting or self._ready.is_set()
        )
        try:
            # The first process of a container is ended by no signal that it does not take.
            self._listen()
            looking = await self._unless_asked(
                _installed(self._client, self._namespaces, everywhere=settings.all_namespaces)
            )
            if looking.cancelled():
                return
            looking.result()
            if self._leader is None or await self._lead(self._leader):
                await self._work()
        finally:
            await self._queue.close()
            await runner.cleanup()

    def _notice(self, key: Key, after: float) -> None:
        """Look at a resource to which something happened."""
        self._reconciler.disturb(key)
        self._queue.add(key, after, urgent=True)

    def _look(self, key: Key, after: float) -> None:
        """Look at everything of a resource, because it is time."""
        self._reconciler.refresh(key)
        self._queue.add(key, after)

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, self._asked.set)

    async def _unless_asked(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[Any]:
        """Do something until it is done, or we are told to stop; give it, ended."""
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(work),
            asyncio.create_task(self._asked.wait()),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return tasks[0]

    async def _lead(self, leader: Leader) -> bool:
        """Wait for the Lease; tell whether it is ours, not so when told to stop before."""
        self._waiting = True
        _log.info("waiting for the Lease %s", self._settings.lease)
        acquiring = await self._unless_asked(leader.acquire())
        if not acquiring.cancelled() and (error := acquiring.exception()):
            raise errors.InvalidSettings(
                f"the Lease cannot be held ({error})",
                "bind the Role that may patch it, or set USAGE_OPERATOR_LEADER_ELECTION=off",
            ) from error
        self._waiting = False
        return leader.holds() and not self._asked.is_set()

    async def _work(self) -> None:
        settings, namespaces = self._settings, self._namespaces
        where = "all namespaces" if settings.all_namespaces else ", ".join(namespaces)
        _log.info("serving %s", where)
        reflectors = watch.reflectors(self._reading, self._mirror, settings, namespaces)
        tasks = [asyncio.create_task(one.run()) for one in reflectors]
        tasks.append(asyncio.create_task(self._take_signals()))
        if self._leader is not None:
            tasks.append(asyncio.create_task(self._keep(self._leader)))
        try:
            # Whoever looks at a resource is to see all that there is of it.
            for one in reflectors:
                await self._unless_asked(one.tried.wait())
            watch.listen(self._mirror, self._notice)
            tasks.append(
                asyncio.create_task(watch.relist(self._client, settings, namespaces, self._look))
            )
            await watch.watch(
                self._client.access,
                settings,
                namespaces,
                self._notice,
                ready=self._ready,
                stop=self._stop,
            )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._leader is not None and not self._leader.holds():
            raise errors.LeaseLost(
                "the Lease was lost", "another operator goes on, and this one begins anew"
            )

    async def _keep(self, leader: Leader) -> None:
        """Stop when the Lease is lost; nothing is written from then on."""
        await leader.keep()
        _log.error("the Lease was lost")
        await self._queue.close(grace=0)
        self._stop.set()

    async def _take_signals(self) -> None:
        """On a signal, let the work in hand finish before the watches end.

        kopf takes the signals for itself when it begins, and would cancel that work.
        """
        await self._ready.wait()
        self._listen()
        await self._asked.wait()
        _log.info("stopping")
        await self._queue.close()
        self._stop.set()
