"""Bringing a backup back to a collector: what would come, what is lost, and the stream of it."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from usage_collector.backup.reading import opened
from usage_collector.backup.receiving import DESCRIPTION, Description
from usage_collector.backup.sealing import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from usage_collector.backup.index import Index, Stored
    from usage_collector.backup.reading import Shelf
    from usage_collector.backup.sealing import Key
    from usage_collector.peers import Ledger, Peer, Status

Run = tuple[int, int]
_CHUNK = 256 * 1024


class Coming(msgspec.Struct, frozen=True):
    """A ledger of a backup against the collector it would come back to.

    ``state`` is `missing` (it is not there), `damaged`, `live` or `present` (nothing is to be
    done). ``comes`` are the positions that would come back, ``lost`` those that are known to have
    been there and are in neither; ``open_end`` says that what came after ``last`` is unknown.
    """

    ledger: str
    state: str
    last: int
    events: int
    comes: list[Run]
    lost: list[Run]
    open_end: bool

    @property
    def needed(self) -> bool:
        """Whether restoring it changes anything."""
        return self.state in ("missing", "damaged") and bool(self.comes)


def plan(index: Index, status: Status) -> list[Coming]:
    """What restoring would do, ledger by ledger. Pure."""
    return [coming(index, ledger, status) for ledger in index.all_ledgers]


def coming(index: Index, ledger: str, status: Status) -> Coming:
    """What restoring one ledger would do."""
    now = next((one for one in status.ledgers if one.id == ledger), None)
    have = index.of(ledger)
    runs = _runs(have)
    last = have[-1].last if have else 0
    state = _state(now, runs)
    needed = state in ("missing", "damaged")
    end = max(last, now.last if now else 0, _end(index, ledger))
    holes = [(a[1] + 1, b[0] - 1) for a, b in pairwise(runs)]
    return Coming(
        ledger=ledger,
        state=state,
        last=last,
        events=sum(b - a + 1 for a, b in runs),
        comes=runs if needed else [],
        lost=[*holes, *([(last + 1, end)] if end > last else [])] if needed else [],
        open_end=state == "missing" and _was_live(index, ledger),
    )


def _state(now: Ledger | None, runs: Sequence[Run]) -> str:
    if now is None:
        return "missing"
    if now.state == "live":
        return "live"
    if now.readable and not now.damaged:
        return "present"
    # What was restored already is restored again only for what it still lacks.
    gains = any(a <= last and first <= b for a, b in runs for first, last in now.lost)
    return "present" if now.restored and not gains else "damaged"


def _was_live(index: Index, ledger: str) -> bool:
    return any(one.id == ledger and one.state == "live" for one in index.ledgers)


def _end(index: Index, ledger: str) -> int:
    """How far it is known to have reached, by its cuts and by what it said of itself."""
    cuts = [cut.ends.get(ledger, 0) for cut in index.periods]
    return max([0, *cuts, *(one.last for one in index.ledgers if one.id == ledger)])


def _runs(have: Sequence[Stored]) -> list[Run]:
    runs: list[Run] = []
    for one in have:
        if runs and one.first <= runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], max(runs[-1][1], one.last))
        else:
            runs.append((one.first, one.last))
    return runs


@dataclass(frozen=True, slots=True)
class Source:
    """Where a ledger comes from; ``say`` is told the bytes as they go."""

    store: Shelf
    index: Index
    key: Key | None
    say: Callable[[int], None] = lambda _: None

    def bytes(self, ledger: str) -> int:
        """How much the ledger's packages are."""
        return sum(one.bytes for one in self.index.of(ledger))


def send(source: Source, peer: Peer, ledger: str) -> dict[str, object]:
    """Bring one ledger back; the collector's answer (see `usage_collector.ledger.Restored`).

    Raises:
        Damaged: the backup is not what was written; nothing came back.
        PeerUnavailable: the collector did not take it.
    """
    answer = peer.restore(ledger, lambda: archive(source, ledger))
    found = msgspec.json.decode(answer)
    assert isinstance(found, dict)  # noqa: S101 - a collector answers nothing else
    return found


def archive(source: Source, ledger: str) -> Iterator[bytes]:
    """The tar stream that a collector takes a ledger back from."""
    index = source.index
    facts = next((one for one in index.ledgers if one.id == ledger), None)
    have = index.of(ledger)
    described = Description(
        id=ledger,
        collector=index.collector,
        zone=index.zone,
        began=facts.began if facts else have[0].taken,
        packages=len(have),
        periods=index.periods,
    )
    body = msgspec.json.encode(described)
    yield _header(DESCRIPTION, len(body), 0) + _padded(body)
    for stored in have:
        name = stored.file.rpartition("/")[2].removesuffix(SUFFIX)
        yield _header(name, stored.bytes, stored.taken.timestamp())
        with opened(source.store, index, stored, source.key) as file:
            while chunk := file.read(_CHUNK):
                source.say(len(chunk))
                yield chunk
        yield bytes(-stored.bytes % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _header(name: str, size: int, mtime: float) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mtime = size, int(mtime) + 1 if mtime else 0
    return member.tobuf(tarfile.PAX_FORMAT)


def _padded(body: bytes) -> bytes:
    return body + bytes(-len(body) % tarfile.BLOCKSIZE)
