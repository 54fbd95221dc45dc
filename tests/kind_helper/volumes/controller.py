"""Watches claims and volumes, and makes, grows and removes disks as `plan` decides."""

import json
import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes

from tests.kind_helper.volumes import plan
from tests.kind_helper.volumes.disks import Disks

_KUBERNETES: Any = kubernetes
"""The client is typed in part only."""
_LOG = logging.getLogger("volumes")
_WATCH_SECONDS = 300
_RETRY_SECONDS = 2.0


class Controller:
    """Serves one cluster. One thread works; one thread for each kind watches."""

    def __init__(self, state: Path, kubeconfig: Path) -> None:
        _KUBERNETES.config.load_kube_config(str(kubeconfig))
        self._api = _KUBERNETES.client.CoreV1Api()
        self._disks = Disks(state / "volumes")
        self._work: queue.Queue[tuple[Callable[[plan.Object], None], plan.Object]] = queue.Queue()

    def run(self) -> None:
        """Work for ever."""
        for listing, handle in (
            (self._api.list_persistent_volume_claim_for_all_namespaces, self._claim),
            (self._api.list_persistent_volume, self._volume),
        ):
            threading.Thread(target=self._watch, args=(listing, handle), daemon=True).start()
        _LOG.info("watching")
        while True:
            self._next(*self._work.get())

    def _next(self, handle: Callable[[plan.Object], None], item: plan.Object) -> None:
        try:
            handle(item)
        except Exception:
            name = item["metadata"]["name"]
            _LOG.exception("%s: trying again in %.0f s", name, _RETRY_SECONDS)
            again = threading.Timer(_RETRY_SECONDS, self._again, (handle, item))
            again.daemon = True
            again.start()

    def _watch(self, listing: Callable[..., Any], handle: Callable[[plan.Object], None]) -> None:
        while True:
            try:
                answer = json.loads(listing(_preload_content=False).data)
                for item in answer["items"]:
                    self._work.put((handle, item))
                version = answer["metadata"]["resourceVersion"]
                events = _KUBERNETES.watch.Watch().stream(
                    listing, resource_version=version, timeout_seconds=_WATCH_SECONDS
                )
                for event in events:
                    if event["type"] != "DELETED":
                        self._work.put((handle, event["raw_object"]))
            except Exception as error:
                _LOG.warning("watch ended: %s", error)
                time.sleep(_RETRY_SECONDS)

    def _again(self, handle: Callable[[plan.Object], None], item: plan.Object) -> None:
        """Put the object back as it is now; one that is gone needs nothing any more."""
        metadata = item["metadata"]
        try:
            if "namespace" in metadata:
                answer = self._api.read_namespaced_persistent_volume_claim(
                    metadata["name"], metadata["namespace"], _preload_content=False
                )
            else:
                answer = self._api.read_persistent_volume(metadata["name"], _preload_content=False)
            self._work.put((handle, json.loads(answer.data)))
        except kubernetes.client.ApiException as error:
            if error.status != 404:
                self._work.put((handle, item))

    def _claim(self, claim: plan.Object) -> None:
        node, wanted = plan.wants_volume(claim), plan.grows_to(claim)
        if node:
            self._create(claim, node)
        elif wanted:
            self._grow(claim, wanted)

    def _create(self, claim: plan.Object, node: str) -> None:
        name = plan.volume_name(claim)
        self._disks.create(name, plan.requested(claim))
        volume = plan.persistent_volume(claim, node, self._disks.mount_point(name))
        try:
            self._api.create_persistent_volume(volume)
        except kubernetes.client.ApiException as error:
            if error.status != 409:
                raise
            return
        _LOG.info("made %s of %s bytes on %s", name, plan.requested(claim), node)

    def _grow(self, claim: plan.Object, wanted: int) -> None:
        name, metadata = plan.volume_name(claim), claim["metadata"]
        self._disks.grow(name, wanted)
        capacity = {"capacity": {"storage": plan.quantity(wanted)}}
        self._api.patch_persistent_volume(name, {"spec": capacity})
        self._api.patch_namespaced_persistent_volume_claim_status(
            metadata["name"], metadata["namespace"], {"status": capacity}
        )
        _LOG.info("grew %s to %s bytes", name, wanted)

    def _volume(self, volume: plan.Object) -> None:
        if not plan.to_delete(volume):
            return
        name = volume["metadata"]["name"]
        self._disks.remove(name)
        try:
            self._api.delete_persistent_volume(name)
        except kubernetes.client.ApiException as error:
            if error.status != 404:
                raise
        _LOG.info("removed %s", name)
