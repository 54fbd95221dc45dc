"""What a resource is called on the queue."""

from __future__ import annotations

from typing import NamedTuple


class Key(NamedTuple):
    """A resource."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"
