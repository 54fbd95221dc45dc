"""Where an object differs from what is desired, in the fields that are desired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from usage_operator import quantities

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_QUANTITIES = frozenset({"requests", "limits"})
_WHOLE = frozenset({"selector", "matchLabels", "nodeSelector"})
"""Objects that the API server takes as a whole: one key more selects something else."""
_KEYS = ("name", "mountPath", "uid", "topologyKey")
"""Fields by one of which the API server merges lists of objects; others are compared by place."""


def find(desired: object, observed: object, path: str = "") -> str | None:
    """Give the path of the first desired field that is missing or different; None: no drift.

    Fields that are not desired are left out, an absent field equals an empty one, and quantities
    are compared by size. Values never appear in the path: some are secret.
    """
    if isinstance(desired, dict):
        if not isinstance(observed, dict):
            return None if not desired and observed is None else path
        return _in_object(desired, observed, path)
    if isinstance(desired, list):
        return _in_list(desired, observed if isinstance(observed, list) else [], path)
    if desired == observed or (not desired and not observed):
        return None
    return path


def _in_object(desired: Mapping[str, Any], observed: Mapping[str, Any], path: str) -> str | None:
    field = path.rpartition(".")[2]
    if field in _WHOLE and observed.keys() - desired.keys():
        return path
    amounts = field in _QUANTITIES
    for name, value in desired.items():
        there = observed.get(name)
        if amounts and quantities.same(value, there):
            continue
        found = find(value, there, f"{path}.{name}" if path else name)
        if found is not None:
            return found
    return None


def _key(items: Sequence[object]) -> str | None:
    for key in _KEYS:
        if items and all(isinstance(item, dict) and key in item for item in items):
            return key
    return None


def _in_list(desired: list[Any], observed: list[Any], path: str) -> str | None:
    key = _key(desired)
    if key is None:
        if len(desired) != len(observed):
            return path
        pairs = list(zip(map(str, range(len(desired))), desired, observed, strict=True))
    else:
        there = {item.get(key): item for item in observed if isinstance(item, dict)}
        pairs = [(str(item[key]), item, there.get(item[key])) for item in desired]
    for name, item, other in pairs:
        found = find(item, other, f"{path}[{name}]")
        if found is not None:
            return found
    return None
