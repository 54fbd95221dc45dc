"""Where a month is delivered to. A destination knows files and names, never what is in them."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from usage_collector.errors import InvalidInput
from usage_collector.targets import options
from usage_collector.targets.folder import Folder
from usage_collector.targets.parcel import Letter, Parcel, sha256

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Destination", "Folder", "Letter", "Parcel", "destination", "destinations", "sha256"]

_KINDS = {"s3": ("s3", "bucket"), "mailto": ("smtp", "mail"), "https": ("https", "site")}
"""Scheme, and the module and function that make such a destination; imported when needed."""
_HINT = "give a folder, s3://BUCKET/PREFIX, mailto:NAME@HOST or https://HOST/PATH"


class Destination(Protocol):
    """A place that takes files, each under a name that it never gives to another content."""

    @property
    def name(self) -> str:
        """How people and receipts call it; nothing secret is in it."""

    def where(self, folder: str) -> str:
        """How people find what was delivered there."""

    def held(self, folder: str) -> Mapping[str, str] | None:
        """The files it shows in that folder: name to SHA-256 in hex; None: it shows nothing."""

    def fetch(self, folder: str, name: str) -> bytes | None:
        """A file that it holds, None where it has none of that name or cannot tell."""

    def deliver(self, parcel: Parcel) -> list[str]:
        """Takes the files in their order, durably; the names of those that it did not have yet.

        `DeliveryFailed` when it holds another file of the same name, and in any trouble: then with
        the destination's own words.
        """


def destination(text: str, environment: Mapping[str, str] = os.environ) -> Destination:
    """The destination that a text names; `InvalidInput` for one that cannot be."""
    scheme = "" if text.startswith("/") else options.split(text).scheme
    if scheme in _KINDS:
        module, function = _KINDS[scheme]
        found = importlib.import_module(f"usage_collector.targets.{module}")
        made: Destination = getattr(found, function)(text, environment)
        return made
    if scheme and scheme != "file":
        raise InvalidInput(f"destination {text.split('?')[0]!r} is of an unknown kind", _HINT)
    path = text.removeprefix("file://")
    if not path:
        raise InvalidInput("destination '' names nothing", _HINT)
    return Folder(Path(path))


def destinations(texts: Sequence[str]) -> list[Destination]:
    """All of them; `InvalidInput` for two that receipts could not tell apart."""
    found = [destination(text) for text in texts]
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f"destination {name!r} is given twice", "give it once")
    return found
