"""The watch shell: kopf's events → keys on the queue. It decides nothing and writes nothing."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any

import kopf
from kopf._core.engines.peering import Identity

from usage_operator import errors, naming
from usage_operator.reconcile import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from usage_operator.kube import Access, Client
    from usage_operator.settings import Settings

_log = logging.getLogger(__name__)

_CHILDREN = (
    ("apps", "v1", "statefulsets"),
    ("apps", "v1", "deployments"),
    ("", "v1", "services"),
    ("", "v1", "configmaps"),
    ("", "v1", "serviceaccounts"),
    ("", "v1", "persistentvolumeclaims"),
    ("policy", "v1", "poddisruptionbudgets"),
    ("networking.k8s.io", "v1", "networkpolicies"),
    ("batch", "v1", "cronjobs"),
    ("batch", "v1", "jobs"),
)
_TOGETHER = 0.3
"""Seconds within which changes of a resource's children are one: they come in bursts."""
_SILENCE = 3.0
"""Seconds without a further object after which a list is complete."""
_NOISE = ("resourceVersion", "managedFields")
_TELLING = {
    "StatefulSet": (
        "readyReplicas",
        "availableReplicas",
        "updatedReplicas",
        "currentRevision",
        "updateRevision",
        "observedGeneration",
    ),
    "Deployment": ("availableReplicas", "updatedReplicas", "observedGeneration"),
    "Job": ("succeeded", "failed", "conditions"),
    "PersistentVolumeClaim": ("phase", "capacity"),
}
"""Fields of a child's status that matter; all else in a status does not."""


def signature(thing: Mapping[str, Any]) -> int:
    """Give a number that changes when something about an object changed that matters to us."""
    kept = {key: value for key, value in thing.items() if key not in {"status", "metadata"}}
    metadata = {key: value for key, value in thing["metadata"].items() if key not in _NOISE}
    status = thing.get("status") or {}
    telling = [status.get(field) for field in _TELLING.get(thing.get("kind", ""), ())]
    return hash(repr((sorted(kept.items()), sorted(metadata.items()), telling)))


class Lists:
    """Finds what vanished while a watch was cut off: it is missing when all is listed again.

    Of that no event tells, and lists come as single events without an end: after a moment of
    silence a list is taken to be complete. Where nothing at all is left the next resync tells.
    """

    def __init__(self, vanished: Callable[[str, Key], None]) -> None:
        self._vanished = vanished
        self._known: dict[tuple[str, str], dict[str, Key]] = {}
        self._listed: dict[tuple[str, str], set[str]] = {}
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}

    def take(self, event: Mapping[str, Any], key: Key) -> None:
        """Take an event of a child."""
        thing = event["object"]
        place, uid = (str(thing.get("kind")), key.namespace), thing["metadata"]["uid"]
        known = self._known.setdefault(place, {})
        if event["type"] == "DELETED":
            known.pop(uid, None)
            return
        known[uid] = key
        if event["type"] is None or place in self._listed:
            self._listed.setdefault(place, set()).add(uid)
        if event["type"] is None:
            if timer := self._timers.pop(place, None):
                timer.cancel()
            loop = asyncio.get_running_loop()
            self._timers[place] = loop.call_later(_SILENCE, self.complete, *place)

    def complete(self, kind: str, namespace: str) -> None:
        """Take a list of a kind in a namespace to be complete."""
        place = (kind, namespace)
        listed, known = self._listed.pop(place), self._known[place]
        self._timers.pop(place).cancel()
        for uid in known.keys() - listed:
            self._vanished(uid, known.pop(uid))


class Watch:
    """Puts a resource's key on the queue when it, or a child of it, changed."""

    def __init__(self, enqueue: Callable[[Key, float], None]) -> None:
        self._enqueue = enqueue
        self._seen: dict[str, int] = {}
        self._keys: dict[Key, Key] = {}
        self.lists = Lists(self._vanished)

    def _vanished(self, uid: str, key: Key) -> None:
        self._seen.pop(uid, None)
        self._enqueue(key, 0.0)

    def changed(self, event: Mapping[str, Any]) -> bool:
        """Tell whether an event says more than that a status or managed fields changed."""
        thing = event["object"]
        uid = thing["metadata"]["uid"]
        if event["type"] == "DELETED":
            self._seen.pop(uid, None)
            return True
        now = signature(thing)
        if self._seen.get(uid) == now:
            return False
        self._seen[uid] = now
        return True

    async def resource(self, event: Mapping[str, Any], **_: Any) -> None:
        """Take an event of a resource."""
        metadata = event["object"]["metadata"]
        if self.changed(event):
            self._enqueue(Key(metadata["namespace"], metadata["name"]), 0.0)

    async def child(self, event: Mapping[str, Any], **_: Any) -> None:
        """Take an event of an object that carries our labels."""
        metadata = event["object"]["metadata"]
        name = (metadata.get("labels") or {}).get(naming.INSTANCE)
        if not name:
            return
        key = Key(metadata["namespace"], name)
        # One object for all children: there are many.
        key = self._keys.setdefault(key, key)
        self.lists.take(event, key)
        if self.changed(event):
            self._enqueue(key, _TOGETHER)

    def registry(self, access: Access) -> kopf.OperatorRegistry:
        """Register the handlers, and how kopf logs in."""
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
        for group, version, plural in _CHILDREN:
            kopf.on.event(group, version, plural, registry=registry)(self.child)
        return registry


def _settings() -> kopf.OperatorSettings:
    """Keep kopf from writing anything, and from watching what is not ours."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    selector = f"{naming.MANAGED_BY}={naming.FIELD_MANAGER}"
    for child in _CHILDREN:
        settings.watching.label_selectors[child] = selector
    settings.networking.error_backoffs = [0.1, 0.5, 1, 2, 5, 10]
    return settings


async def watch(
    access: Access,
    settings: Settings,
    namespaces: tuple[str, ...],
    enqueue: Callable[[Key, float], None],
    *,
    ready: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    """Watch until ``stop`` is set; sets ``ready`` when it has begun."""
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


async def relist(
    client: Client,
    settings: Settings,
    namespaces: tuple[str, ...],
    enqueue: Callable[[Key, float], None],
) -> None:
    """Put every resource on the queue, again and again: events can be lost."""
    places: tuple[str | None, ...] = (None,) if settings.all_namespaces else namespaces
    while True:
        for place in places:
            try:
                found = await client.list(naming.KIND, place)
            except errors.ApiError as error:
                _log.warning("resources could not be listed: %s", error)
                continue
            for one in found:
                enqueue(Key(one["metadata"]["namespace"], one["metadata"]["name"]), 0.0)
        await asyncio.sleep(settings.resync_seconds * random.uniform(0.9, 1.1))  # noqa: S311
