"""Resources whose pods never run anywhere: a kubelet of paper says that they are ready."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp

from usage_operator import naming
from usage_operator.kube import Client
from usage_operator.kube.paths import path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from usage_operator.kube import Access

NOWHERE = {"example.org/nowhere": "true"}
"""No node has this label, so that the scheduler leaves the pods alone."""
CLASS = "usage-hollow"


class Kubelet:
    """Says of pods that they run and are ready, and gives claims volumes that nobody mounts."""

    def __init__(self, access: Access, namespace: str) -> None:
        self._client = Client(access)
        self._access = access
        self._namespace = namespace

    async def __aenter__(self) -> Kubelet:
        await self._client.__aenter__()
        connector = aiohttp.TCPConnector(ssl=self._access.context() or False)
        self._session = aiohttp.ClientSession(connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._client.__aexit__(None, None, None)

    async def send(self, method: str, where: str, body: object) -> dict[str, Any]:
        """Send what the operator's client has no need for; what is there already stays."""
        kind = "merge-patch+json" if method == "PATCH" else "json"
        headers = {"Content-Type": f"application/{kind}"}
        if token := self._access.bearer():
            headers["Authorization"] = f"Bearer {token}"
        url = self._access.server + where
        data = json.dumps(body) if body is not None else None
        async with self._session.request(method, url, data=data, headers=headers) as answer:
            found: dict[str, Any] = await answer.json()
            assert answer.status < 300 or answer.status in {404, 409}, found
            return found

    async def store(self) -> None:
        """Make the storage class, which allows growth and provides nothing."""
        document = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": CLASS},
            "provisioner": "kubernetes.io/no-provisioner",
            "allowVolumeExpansion": True,
        }
        await self.send("POST", path("StorageClass"), document)

    async def bind(self) -> list[str]:
        """Give each claim a volume; the names of those that are not bound yet."""
        made = []
        for claim in await self._client.list("PersistentVolumeClaim", self._namespace):
            bound = claim["status"].get("phase") == "Bound"
            if bound or claim["spec"].get("storageClassName") != CLASS:
                continue
            name = f"hollow-{claim['metadata']['uid']}"
            reference = {key: claim["metadata"][key] for key in ("name", "namespace", "uid")}
            document = {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": name},
                "spec": {
                    "capacity": {"storage": "10Gi"},
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": CLASS,
                    "persistentVolumeReclaimPolicy": "Retain",
                    "hostPath": {"path": "/nowhere"},
                    "claimRef": reference,
                },
            }
            await self.send("POST", "/api/v1/persistentvolumes", document)
            made.append(name)
        return made

    async def remove_volumes(self, names: Iterable[str]) -> None:
        """Remove volumes that were made."""
        for name in names:
            await self.send("DELETE", f"/api/v1/persistentvolumes/{name}", {})

    async def look(self, labels: dict[str, str] | None = None, *, pending: bool = False) -> int:
        """Let every pod be ready that is not; tell how many were not.

        ``pending``: ask the API server for those only, for there may be many.
        """
        labels = labels or {naming.MANAGED_BY: naming.FIELD_MANAGER}
        chosen = ",".join(f"{key}={value}" for key, value in labels.items())
        query = f"labelSelector={chosen}" + ("&fieldSelector=status.phase=Pending" * pending)
        found = await self.send("GET", f"{path('Pod', self._namespace)}?{query}", None)
        late = [
            pod
            for pod in found["items"]
            if (pod.get("status") or {}).get("phase") != "Running"
            and not pod["metadata"].get("deletionTimestamp")
        ]
        slots = asyncio.Semaphore(8)

        async def begin(pod: dict[str, Any]) -> None:
            ready = {"type": "Ready", "status": "True"}
            where = path("Pod", self._namespace, pod["metadata"]["name"], "status")
            status = {"phase": "Running", "conditions": [ready]}
            async with slots:
                await self.send("PATCH", where, {"status": status})

        await asyncio.gather(*(begin(pod) for pod in late))
        return len(late)
