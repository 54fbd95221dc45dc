"""The watch shell: kopf's events, and the mirror's → keys on the queue.

It decides nothing and writes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any

import kopf
from kopf._core.engines.peering import Identity

from usage_operator import errors, naming
from usage_operator.kube import Reflector
from usage_operator.kube.essence import signature
from usage_operator.kube.paths import OPTIONAL
from usage_operator.reconcile import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from usage_operator.kube import Access, Client, Mirror
    from usage_operator.settings import Settings

_log = logging.getLogger(__name__)

CHILDREN = (
    *("StatefulSet", "Deployment", "Service", "ConfigMap", "ServiceAccount", "Pod"),
    *("PersistentVolumeClaim", "PodDisruptionBudget", "CronJob", "Job", "NetworkPolicy"),
    *OPTIONAL,
)
_TOGETHER = 0.3
"""Seconds within which changes of a resource's children are one: they come in bursts."""

_CHUNK = 100
"""So many resources kopf lists at once: each takes some 40 KiB until it is looked at."""
_IDLE = 0.2
"""Seconds for which kopf keeps an event after it was looked at, in case another comes."""
_BACKOFFS = [0.1, 0.5, 1.0, 2.0, 5.0, *[10.0] * 30]
"""Seconds between kopf's attempts at a request; after five minutes of refusals it gives up."""
_CONNECT, _ANSWER = 10.0, 30.0
"""Seconds for which kopf waits for a connection, and for the answer to anything but a watch."""
_SPREAD = 0.1
"""The part of a resync over which looks are spread, so that they come one after the other."""


class Watch:
    """Puts a resource's key on the queue when it, or a child of it, changed."""

    def __init__(self, enqueue: Callable[[Key, float], None]) -> None:
        self._enqueue = enqueue
        self._seen: dict[Key, int] = {}

    async def resource(self, event: Mapping[str, Any], **_: Any) -> None:
        """Take an event of a resource; its status and managed fields are no news."""
        thing = event["object"]
        key = Key(thing["metadata"]["namespace"], thing["metadata"]["name"])
        if event["type"] == "DELETED":
            self._seen.pop(key, None)
        else:
            before, self._seen[key] = self._seen.get(key), signature(thing)
            if before == self._seen[key]:
                return
        self._enqueue(key, 0.0)

    def registry(self, access: Access) -> kopf.OperatorRegistry:
        """Register the handler, and how kopf logs in."""
        registry = kopf.OperatorRegistry()

        def login(**_: Any) -> kopf.ConnectionInfo:
            return kopf.ConnectionInfo(
                server=access.server,
                ca_data=access.ca.encode() if access.ca else None,
                insecure=access.insecure,
                certificate_data=access.certificate.encode() if access.certificate else None,
                private_key_data=access.key.encode() if access.key else None,
                scheme="Bearer" if access.bearer() else None,
                token=access.bearer(),
            )

        kopf.on.login(registry=registry)(login)
        kopf.on.event(naming.GROUP, naming.VERSION, naming.PLURAL, registry=registry)(self.resource)
        return registry


class _NoBase(kopf.DiffBaseStorage):
    """Compare nothing with what was handled last: that copies each object that an event brings."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Keep nothing."""


class _NoProgress(kopf.ProgressStorage):
    """Remember nothing of handlers: those of events have no progress."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Keep nothing."""

    def purge(self, **_: Any) -> None:
        """Keep nothing."""

    def touch(self, **_: Any) -> None:
        """Keep nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


def _settings() -> kopf.OperatorSettings:
    """Keep kopf from writing anything, and from watching what is not ours."""
    settings = kopf.OperatorSettings()
    settings.persistence.diffbase_storage = _NoBase()
    settings.persistence.progress_storage = _NoProgress()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.watching.chunk_size = _CHUNK
    settings.queueing.idle_timeout = _IDLE
    settings.networking.error_backoffs = _BACKOFFS
    # Without them it waits for minutes for a server whose packets are dropped.
    settings.networking.connect_timeout, settings.networking.request_timeout = _CONNECT, _ANSWER
    return settings


def listen(mirror: Mirror, enqueue: Callable[[Key, float], None]) -> None:
    """Put a resource's key on the queue when a child of it changed."""
    mirror.listen(lambda *place: enqueue(Key(*place), _TOGETHER))


def reflectors(
    client: Client, mirror: Mirror, settings: Settings, namespaces: tuple[str, ...]
) -> list[Reflector]:
    """Give what keeps the mirror of the children; each has to run."""
    places: tuple[str | None, ...] = (None,) if settings.all_namespaces else namespaces
    return [Reflector(client, mirror, kind, place) for kind in CHILDREN for place in places]


async def watch(
    access: Access,
    settings: Settings,
    namespaces: tuple[str, ...],
    enqueue: Callable[[Key, float], None],
    *,
    ready: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    """Watch until ``stop`` is set; sets ``ready`` when it has begun.

    WatchLost when that ends by itself. kopf then ends whatever was begun meanwhile, so that only
    a process that begins anew can go on: after five minutes of refusals, or when a list took so
    long that the API server does not know its version any more (410).
    """
    try:
        await kopf.operator(
            registry=Watch(enqueue).registry(access),
            settings=_settings(),
            clusterwide=settings.all_namespaces,
            namespaces=() if settings.all_namespaces else namespaces,
            # kopf would ask for the user's name, and an image's user need not have one.
            identity=Identity(naming.FIELD_MANAGER),
            ready_flag=ready,
            stop_flag=stop,
        )
    except Exception as error:
        raise errors.WatchLost(
            f"the resources are not watched any more ({error!r})", "the operator begins anew"
        ) from error


async def relist(
    client: Client,
    settings: Settings,
    namespaces: tuple[str, ...],
    enqueue: Callable[[Key, float], None],
) -> None:
    """Put every resource on the queue, again and again: events can be lost."""
    places: tuple[str | None, ...] = (None,) if settings.all_namespaces else namespaces
    spread = 0.0
    while True:
        for place in places:
            try:
                async for page in client.pages(naming.KIND, place, {}):
                    for one in page.items:
                        key = Key(one["metadata"]["namespace"], one["metadata"]["name"])
                        enqueue(key, random.uniform(0, spread))  # noqa: S311
            except errors.ApiError as error:
                _log.warning("resources could not be listed: %s", error)
            except Exception:
                # Nobody else looks at what is settled, or sees that something is overdue.
                _log.exception("resources could not be listed")
        spread = settings.resync_seconds * _SPREAD
        await asyncio.sleep(settings.resync_seconds * random.uniform(0.9, 1.1))  # noqa: S311
