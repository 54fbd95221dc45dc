"""What a package says it holds, and the hash chain that proves it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EXPORT = "usage-export"
MANIFEST = "usage-manifest"
VERSION = 1
MARK_EVERY = 100


def genesis(ledger: str) -> bytes:
    """h(0) of a ledger: the SHA-256 of its id as text."""
    return hashlib.sha256(ledger.encode()).digest()


def link(previous: bytes, digest: bytes) -> bytes:
    """h(n) from h(n-1) and the SHA-256 of the event at position n."""
    return hashlib.sha256(previous + digest).digest()


def marks_between(first: int, last: int) -> range:
    """The positions from ``first`` to ``last`` whose hashes a package lists."""
    return range(-(-first // MARK_EVERY) * MARK_EVERY, last + 1, MARK_EVERY)


@dataclass(frozen=True, slots=True)
class Chain:
    """Positions ``first`` to ``last`` of one ledger, tied to what came before and comes after.

    ``before`` is h(first-1), ``after`` is h(last), ``marks`` the h(n) of `marks_between`.
    """

    first: int
    last: int
    before: bytes
    after: bytes
    marks: Sequence[bytes]


class Marks(Sequence[bytes]):
    """Hashes of 32 bytes each in one piece: those of 10 million events take 3.2 MB."""

    __slots__ = ("_packed",)

    def __init__(self, packed: bytes) -> None:
        self._packed = packed

    def __len__(self) -> int:
        return len(self._packed) // 32

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        return self._packed[number * 32 : number * 32 + 32]


@dataclass(frozen=True, slots=True)
class Run:
    """Stretches of positions of one ledger, in the order of a window's events."""

    ledger: str
    runs: tuple[tuple[int, int], ...]

    @property
    def count(self) -> int:
        """How many positions these are."""
        return sum(last - first + 1 for first, last in self.runs)


def runs(positions: Iterable[tuple[str, int]]) -> list[Run]:
    """The ledgers and positions of a window's events, in their order, as stretches."""
    found: list[tuple[str, list[tuple[int, int]]]] = []
    for ledger, position in positions:
        if not found or found[-1][0] != ledger:
            found.append((ledger, [(position, position)]))
            continue
        stretches = found[-1][1]
        first, last = stretches[-1]
        if position == last + 1:
            stretches[-1] = (first, position)
        else:
            stretches.append((position, position))
    return [Run(ledger, tuple(stretches)) for ledger, stretches in found]


def places(found: Iterable[Run]) -> Iterator[tuple[str, int]]:
    """The reverse of `runs`."""
    for run in found:
        for first, last in run.runs:
            for position in range(first, last + 1):
                yield run.ledger, position


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything a package's payload says besides the events themselves.

    Either ``ledger`` and ``chain`` (a package of positions) or ``positions`` (of a window, or of
    nothing) are set. ``since`` and ``until`` are texts in UTC.
    """

    collector: str
    zone: str
    ledger: str | None
    period: str | None
    since: str | None
    until: str | None
    count: int
    chain: Chain | None
    positions: Sequence[Run] | None


def _plain(text: str) -> str:
    """A name without what a file system or a mail program could take amiss."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text).lstrip(".") or "_"


def file_name(contents: Contents) -> str:
    """What a package is called; the same contents always have the same name."""
    if contents.chain and contents.ledger:
        chain = contents.chain
        ending = name_ending(contents.ledger, chain.first, chain.last)
        return f"usage-{_plain(contents.collector)}{ending}"
    since = (contents.since or "begin").replace("-", "").replace(":", "")
    until = (contents.until or "end").replace("-", "").replace(":", "")
    return f"usage-{_plain(contents.collector)}-{_plain(f'{since}-{until}')}.json.gz"


def ending_of(name: str) -> str:
    """The `name_ending` of a package's name; of any other file's nothing of use."""
    return "-" + "-".join(name.rsplit("-", 3)[1:])


def name_ending(ledger: str, first: int, last: int) -> str:
    """How the name of a package of these positions ends, whichever collector it is of."""
    return f"-{_plain(f'{ledger[:8]}-{first}-{last}')}.json.gz"
