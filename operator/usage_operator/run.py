"""The operator as a process: puts the parts together, and takes them apart on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from typing import TYPE_CHECKING

from usage_operator import errors, health, metrics, naming, watch
from usage_operator.kube import Client
from usage_operator.reconcile import Key, Reconciler
from usage_operator.workqueue import WorkQueue

if TYPE_CHECKING:
    from usage_operator.kube import Access
    from usage_operator.settings import Settings

_log = logging.getLogger(__name__)


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
    """Fail early, and say why, where the definition or the right to read it is missing."""
    for namespace in (None,) if everywhere else namespaces:
        try:
            await client.list(naming.KIND, namespace)
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


async def run(settings: Settings, access: Access) -> None:
    """Run until SIGTERM or SIGINT. InvalidSettings when it cannot begin."""
    namespaces = settings.served(access.namespace)
    ready, stop = asyncio.Event(), asyncio.Event()
    async with Client(access) as client:
        await _installed(client, namespaces, everywhere=settings.all_namespaces)
        reconciler = Reconciler(client, settings)
        queue = WorkQueue(_Measured(reconciler))

        def notice(key: Key) -> None:
            reconciler.disturb(key)
            queue.add(key)

        metrics.QUEUE.set_function(lambda: len(queue))
        runner = await health.serve(settings.host, settings.port, ready.is_set)
        where = "all namespaces" if settings.all_namespaces else ", ".join(namespaces)
        _log.info("serving %s", where)
        tasks = [
            asyncio.create_task(watch.relist(client, settings, namespaces, notice)),
            asyncio.create_task(_take_signals(ready, stop, queue)),
        ]
        try:
            await watch.watch(access, settings, namespaces, notice, ready=ready, stop=stop)
        finally:
            for task in tasks:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks, return_exceptions=True)
            await queue.close()
            await runner.cleanup()
            _log.info("stopped")


async def _take_signals(ready: asyncio.Event, stop: asyncio.Event, queue: WorkQueue[Key]) -> None:
    """On a signal, let the work in hand finish before the watches end.

    kopf takes the signals for itself when it begins, and would cancel that work.
    """
    await ready.wait()
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, asked.set)
    await asked.wait()
    _log.info("stopping")
    await queue.close()
    stop.set()
