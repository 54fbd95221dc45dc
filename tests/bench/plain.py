"""A plain kopf operator that does the same work: create and update handlers, nothing else.

`kopf run` as its documentation shows it, with the official client in threads. It makes the same
objects by the same builders, remembers what it did in annotations, and repairs nothing.
"""

import datetime as dt
from typing import Any

import kopf
import kubernetes
import kubernetes.dynamic

from usage_operator import manifests, naming, spec

_IMAGE = "localhost/none-such:1"
_kubernetes: Any = kubernetes
"""It has no types."""


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Read the kubeconfig, and say nothing in Events."""
    _kubernetes.config.load_kube_config()
    settings.posting.enabled = False


@kopf.on.create(naming.GROUP, naming.VERSION, naming.PLURAL)
@kopf.on.update(naming.GROUP, naming.VERSION, naming.PLURAL)
def write(body: kopf.Body, **_: Any) -> None:
    """Make everything anew, in order."""
    resource = spec.parse(dict(body))
    context = manifests.Context(resource, _IMAGE)
    known = manifests.Known(resource.wanted)
    client = _kubernetes.dynamic.DynamicClient(_client())
    for manifest in manifests.build(context, known, dt.datetime.now(dt.UTC)):
        kind = client.resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"])
        client.server_side_apply(
            kind, body=manifest, field_manager="plain", force_conflicts=True, name=None
        )


_CLIENTS: list[Any] = []


def _client() -> Any:
    """One client for all: the discovery of kinds takes longer than the work."""
    if not _CLIENTS:
        _CLIENTS.append(_kubernetes.client.ApiClient())
    return _CLIENTS[0]
