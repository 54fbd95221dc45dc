"""What a backup of a collector holds: a file that people can read, and that nobody half writes.

Only packages that it names are part of the backup. It is kept twice and carries its own SHA-256.
"""

from __future__ import annotations

import hashlib
from datetime import datetime  # noqa: TC003 - msgspec reads the annotation
from typing import TYPE_CHECKING

import msgspec

from usage_collector.backup.sealing import SUFFIX
from usage_collector.errors import Conflict, Damaged, InvalidInput, NotFound
from usage_collector.peers import Cut, Ledger, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NAME = "index.json"
COPY = "index.copy.json"
TAIL = "tail.json"
TAIL_COPY = "tail.copy.json"
INDEXES = (NAME, COPY, TAIL, TAIL_COPY)
FORMAT = 1
Runs = list[tuple[int, int]]


class Stored(msgspec.Struct, frozen=True):
    """A package in the backup: positions ``first`` to ``last``, h() before and after them in hex.

    ``file`` is where it lies. ``bytes`` and ``sha256`` are of the package as it was exported,
    ``stored_bytes`` is the size of the file, which may be encrypted.
    """

    file: str
    ledger: str
    first: int
    last: int
    before: str
    after: str
    bytes: int
    sha256: str
    stored_bytes: int
    taken: datetime

    @property
    def count(self) -> int:
        """Events in it."""
        return self.last - self.first + 1


class Kept(msgspec.Struct, frozen=True):
    """A period's manifest as the collector keeps it, that is what was delivered; see `Stored`."""

    period: str
    file: str
    bytes: int
    sha256: str
    stored_bytes: int


class Proof(msgspec.Struct, frozen=True):
    """What came of restoring the backup into scratch space and comparing it.

    ``delivered`` is the number of files of delivered months that were made again and are the same.
    """

    at: datetime
    ok: bool
    events: int
    findings: list[str] = []
    delivered: int = 0


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """One collector's backup. ``ledgers`` and ``periods`` are what it said of itself then.

    ``taken`` is when the backup was last complete, None while the first one is under way; ``key``
    the id of the key that encrypts. ``unreadable`` are positions that the collector itself could
    not read.
    """

    format: int = FORMAT
    collector: str
    zone: str
    taken: datetime | None = None
    key: str | None = None
    verified: Proof | None = None
    ledgers: list[Ledger] = []
    unreadable: dict[str, Runs] = {}
    packages: list[Stored] = []
    periods: list[Cut] = []
    manifests: list[Kept] = []

    def of(self, ledger: str) -> list[Stored]:
        """The packages of a ledger, in order."""
        return [one for one in self.packages if one.ledger == ledger]

    @property
    def all_ledgers(self) -> list[str]:
        """Every ledger that it knows of, each once."""
        known = [*(one.id for one in self.ledgers), *(one.ledger for one in self.packages)]
        return list(dict.fromkeys(known))

    @property
    def events(self) -> int:
        """Events in all packages, each once."""
        total, ends = 0, dict[str, int]()
        for one in self.packages:
            end = max(ends.get(one.ledger, 0), one.first - 1)
            total += max(0, one.last - end)
            ends[one.ledger] = max(end, one.last)
        return total

    @property
    def stored_bytes(self) -> int:
        """Bytes of all files."""
        packages = sum(one.stored_bytes for one in self.packages)
        return packages + sum(one.stored_bytes for one in self.manifests)

    @property
    def files(self) -> set[str]:
        """Every file that is part of the backup."""
        return {one.file for one in self.packages} | {one.file for one in self.manifests}

    @property
    def plain(self) -> int:
        """How many files are not encrypted, although there is a key: they were there before it."""
        return sum(not file.endswith(SUFFIX) for file in self.files) if self.key else 0

    def told(self, status: Status) -> Index:
        """With what the collector says of itself now; what it no longer has stays as it was."""
        known = {ledger.id for ledger in status.ledgers}
        gone = [ledger for ledger in self.ledgers if ledger.id not in known]
        lost = {ledger.id for ledger in gone}
        now = {cut.period: cut for cut in status.periods}
        before = {cut.period: cut for cut in self.periods}
        periods = [_cut(now.get(p), before.get(p), lost) for p in sorted(now | before)]
        return msgspec.structs.replace(
            self, zone=status.zone, ledgers=[*gone, *status.ledgers], periods=periods
        )

    def belonging(self, collector: str, place: str) -> Index:
        """As it is.

        Raises:
            Conflict: it is another collector's, whose name is that of the same folder.
        """
        if self.collector != collector:
            raise Conflict(
                f"the backup in {place} is that of {self.collector}, not of {collector}",
                "give collectors names that differ in A to Z, a to z and 0 to 9, or another place",
            )
        return self

    def encrypted(self, key: str | None, place: str) -> Index:
        """As encrypted with the key of that id from now on.

        Raises:
            InvalidInput: it is encrypted with another one.
        """
        if self.packages and self.key not in (None, key):
            raise InvalidInput(
                f"the backup in {place} is encrypted with key {self.key}, not {key}",
                "give that key (--key-file), or another place",
            )
        return msgspec.structs.replace(self, key=key)

    def with_packages(self, new: Iterable[Stored], without: Iterable[Stored] = ()) -> Index:
        """With these packages in the place of those."""
        gone = {one.file for one in without}
        kept = [one for one in self.packages if one.file not in gone]
        packages = sorted([*kept, *new], key=lambda one: (one.ledger, one.first))
        return msgspec.structs.replace(self, packages=packages)


_read_index = msgspec.json.Decoder(Index).decode


def joined(base: Index | None, tail: Index | None) -> Index | None:
    """A scheduled backup and its tail as one; where both hold something, the longer package."""
    if base is None or tail is None:
        return base or tail
    ends = {one.ledger: one.last for one in base.packages}
    new = [one for one in tail.packages if one.last > ends.get(one.ledger, 0)]
    old = [one for one in base.packages if any(_within(one, other) for other in new)]
    newer, older = (tail, base) if _age(tail) >= _age(base) else (base, tail)
    told = older.told(Status(newer.collector, newer.ledgers, newer.periods, newer.zone))
    whole = msgspec.structs.replace(
        told,
        taken=newer.taken,
        key=base.key or tail.key,
        verified=base.verified,
        unreadable={**tail.unreadable, **base.unreadable},
        packages=base.packages,
        manifests=base.manifests,
    )
    return whole.with_packages(new, old)


def _within(one: Stored, other: Stored) -> bool:
    same = one.ledger == other.ledger
    return same and other.first <= one.first and one.last <= other.last


def _age(index: Index) -> float:
    return index.taken.timestamp() if index.taken else 0.0


def _cut(now: Cut | None, before: Cut | None, lost: set[str]) -> Cut:
    """A period's cut as it is known now, and of ledgers that are lost as it was known before."""
    if now is None or before is None:
        found = now or before
        assert found  # noqa: S101 - it is in one of the two
        return found
    files = [file for file in before.files if file.ledger in lost]
    ends = {ledger: end for ledger, end in before.ends.items() if ledger in lost}
    told = [(one.state, one.by, one.files) for one in now.receipts]
    receipts = [one for one in before.receipts if (one.state, one.by, one.files) not in told]
    if not ends and not receipts:
        return now
    return msgspec.structs.replace(
        now,
        ends={**ends, **now.ends},
        files=[*(file for file in files if file not in now.files), *now.files],
        receipts=[*receipts, *now.receipts],
    )


def encode(index: Index) -> bytes:
    """The file: indented JSON, the SHA-256 of the index's compact form first."""
    compact = msgspec.json.encode(index)
    digest = hashlib.sha256(compact).hexdigest()
    text = b'{"sha256":"%s","index":%s}' % (digest.encode(), compact)
    return msgspec.json.format(text, indent=2) + b"\n"


class _File(msgspec.Struct):
    sha256: str
    index: msgspec.Raw


_read_file = msgspec.json.Decoder(_File).decode


def decode(data: bytes, name: str = NAME) -> Index:
    """The reverse of `encode`; ``name`` is the file's, for errors.

    Raises:
        Damaged: it is not what was written.
        InvalidInput: a newer version wrote it.
    """
    try:
        found = _read_file(data)
        compact = msgspec.json.format(bytes(found.index), indent=-1)
        index = _read_index(compact)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged(f"{name} cannot be read: {error}") from None
    if hashlib.sha256(compact).hexdigest() != found.sha256:
        raise Damaged(f"{name} is not what was written")
    if index.format != FORMAT:
        raise InvalidInput(f"{name} has format {index.format}", "use the newer version")
    return index


def first_whole(copies: Sequence[bytes | None], name: str = NAME) -> Index:
    """The first of these copies of a file that is whole.

    Raises:
        NotFound: there is none at all.
        Damaged: there are some, and none is whole.
    """
    given = [copy for copy in copies if copy is not None]
    trouble: Damaged | None = None
    for copy in given:
        try:
            return decode(copy, name)
        except Damaged as error:
            trouble = trouble or error
    if trouble is None:
        raise NotFound("there is no backup", "check the place and the collector's name")
    raise Damaged(
        f"{trouble.detail}, and neither is its copy",
        "move both away, and restore the files in tail/ by themselves after the rest of the backup"
        if name == TAIL
        else "restore the files in packages/ by themselves: each is signed and proves itself",
    )
