"""What is delivered at once: a period's files, and what to say about them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from usage_collector.errors import DeliveryFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Letter:
    """What people read first, where a destination has people: the same as text and as HTML."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """Files for one folder, in the order of delivery; the last one lists all others.

    ``known`` are files that receipts say are there (name to SHA-256), ``settled`` the names of
    those that came with an earlier revision. ``note`` keeps a receipt for files as soon as a
    destination that cannot show what it holds has taken them.
    """

    folder: str
    files: Sequence[Path]
    letter: Letter = Letter("Usage", "", "")
    known: Mapping[str, str] = field(default_factory=dict)
    settled: frozenset[str] = frozenset()
    note: Callable[[Sequence[Path]], None] = lambda _: None

    def missing(self) -> list[Path]:
        """The files that receipts do not know of.

        `DeliveryFailed` where they know another content: keys have changed since, and what a
        destination cannot show cannot be taken from there.
        """
        for path in self.files:
            if path.name in self.known and self.known[path.name] != sha256(path):
                raise DeliveryFailed(
                    f"another {path.name} was sent before: signed with another key, or packed "
                    "otherwise",
                    "it counts the same, and nothing is sent twice",
                )
        return [path for path in self.files if path.name not in self.known]


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
