"""Where a month is delivered to. A destination knows files and names, never what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from usage_collector.errors import InvalidInput
from usage_collector.targets.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Destination", "Folder", "destination"]


class Destination(Protocol):
    """A place that takes files, each under a name that it never gives to another content."""

    @property
    def name(self) -> str:
        """How people and receipts call it."""

    def held(self, folder: str) -> Mapping[str, str]:
        """The files it is known to hold in that folder: name to SHA-256 in hex."""

    def fetch(self, folder: str, name: str) -> bytes | None:
        """A file that it holds, None where it has none of that name or cannot tell."""

    def deliver(self, folder: str, files: Sequence[Path]) -> list[str]:
        """Takes the files in this order, durably; the names of those that it did not hold yet.

        `DeliveryFailed` when it holds another file of the same name, and in any trouble.
        """


def destination(text: str) -> Destination:
    """The destination that a text names; `InvalidInput` for a kind that is not known."""
    scheme = urlsplit(text).scheme
    if scheme and scheme != "file":
        raise InvalidInput(f"destination {text!r} is of an unknown kind", "give a folder")
    path = text.removeprefix("file://")
    if not path:
        raise InvalidInput("destination '' names nothing", "give a folder")
    return Folder(Path(path))
