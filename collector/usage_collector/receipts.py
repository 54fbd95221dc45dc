"""Which files of a period are where they should be, by the receipts for them. Pure.

A destination for which a file is `exported` is promised it; `sent` and `acknowledged` say that it
has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

STATES = ("exported", "sent", "acknowledged")
SENT = frozenset(STATES[1:])
_NOBODY = "usage-collector export-month"
"""Who signed receipts when there was one destination only: no destination of that name waits."""


class _File(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...


class Receipt(Protocol):
    """What became of files, and at whose place (``by``)."""

    @property
    def state(self) -> str:
        """`exported`, `sent` or `acknowledged`."""

    @property
    def by(self) -> str:
        """The destination, or who acknowledged."""

    @property
    def files(self) -> Sequence[_File]:
        """The files, with their SHA-256 in hex."""


def arrived(receipts: Iterable[Receipt]) -> dict[str, dict[str, str]]:
    """The files that each destination has: name to SHA-256."""
    found: dict[str, dict[str, str]] = {}
    for one in receipts:
        if one.state in SENT:
            found.setdefault(one.by, {}).update((file.name, file.sha256) for file in one.files)
    return found


def awaited(receipts: Iterable[Receipt]) -> dict[str, set[str]]:
    """The files that each destination was promised last and does not have, where there are any."""
    receipts = list(receipts)
    there = arrived(receipts)
    promised = {
        one.by: {file.name for file in one.files}
        for one in receipts
        if one.state == "exported" and one.by != _NOBODY
    }
    missing = {by: names - there.get(by, {}).keys() for by, names in promised.items()}
    return {by: names for by, names in missing.items() if names}


def sent(receipts: Iterable[Receipt]) -> set[str]:
    """The files that are at some destination, and that no other one still waits for."""
    receipts = list(receipts)
    names = {name for files in arrived(receipts).values() for name in files}
    return names.difference(*awaited(receipts).values())


def complete(receipts: Iterable[Receipt], destinations: Collection[str] | None = None) -> bool:
    """Whether something was sent and none of the destinations (None: of all) waits for more."""
    receipts = list(receipts)
    waiting = awaited(receipts).keys()
    return bool(arrived(receipts)) and not waiting & set(
        waiting if destinations is None else destinations
    )


def state(receipts: Iterable[Receipt]) -> str:
    """How far files are at one destination, by all receipts in its name: one of `STATES`.

    The least that holds for all that it was promised last; `exported` while any of that is not
    there, or where there are no receipts.
    """
    receipts = list(receipts)
    if awaited(receipts) or not arrived(receipts):
        return "exported"
    said = [one for one in receipts if one.state == "acknowledged"]
    promised = [one for one in receipts if one.state == "exported"][-1:]
    names = {file.name for one in promised or receipts for file in one.files}
    return "acknowledged" if names <= {f.name for one in said for f in one.files} else "sent"
