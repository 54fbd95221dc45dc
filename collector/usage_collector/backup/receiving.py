"""A ledger that comes back, as a collector takes it: one tar stream, read once.

`ledger.json` comes first (see `Description`), then the packages in the order of their positions,
each under its own name and with the time it was taken as its time (POSIX.1-2001 pax).
"""

from __future__ import annotations

import io
import tarfile
from datetime import datetime  # noqa: TC003 - msgspec reads the annotation
from typing import IO, TYPE_CHECKING, cast

import msgspec

from usage_collector import peers  # noqa: TC001 - msgspec reads the annotation
from usage_collector.errors import InvalidInput
from usage_collector.ledger import (
    Cut,
    CutFile,
    Limits,
    Origin,
    Part,
    Receipt,
    ReceiptFile,
    restore,
)
from usage_collector.periods import SECOND, microseconds
from usage_collector.words import many

if TYPE_CHECKING:
    from collections.abc import Iterator

    from usage_collector.ledger import Ledgers, Restored
    from usage_collector.packages.scanner import Readable

DESCRIPTION = "ledger.json"
_MOST_BYTES = 64 * 1024 * 1024
_BUFFER = 1024 * 1024


class Description(msgspec.Struct):
    """What a ledger was, ``periods`` as `GET /v1/periods` lists them; so many packages follow."""

    id: str
    collector: str
    zone: str
    began: datetime
    packages: int
    periods: list[peers.Cut] = []


_read_description = msgspec.json.Decoder(Description).decode


class _Stream:
    """What `tarfile` needs of a file that can only be read."""

    def __init__(self, body: Readable) -> None:
        self._body = body

    def read(self, size: int) -> bytes:
        return self._body.read(size)


def receive(ledgers: Ledgers, ledger: str, body: Readable, now: int) -> Restored:
    """Restore the ledger that the stream holds; all of it or nothing. ``now`` in µs.

    Raises:
        InvalidInput: the stream is not what it should be, or cut short.
        Conflict, StorageUnavailable: see `usage_collector.ledger.restore`.
    """
    try:
        stream = cast("IO[bytes]", _Stream(body))
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_BUFFER) as archive:
            described = _description(archive)
            if described.id != ledger:
                raise InvalidInput(f"the stream holds ledger {described.id}", f"not {ledger}")
            origin = Origin(
                id=ledger,
                began=microseconds(described.began),
                collector=described.collector,
                zone=described.zone,
                cuts=[_kept(cut) for cut in described.periods],
            )
            return restore(ledgers, origin, _parts(archive, described.packages, now), now)
    except tarfile.TarError as error:
        raise InvalidInput(
            f"the ledger's stream cannot be read: {error}", "send a tar archive, whole"
        ) from None


def _kept(cut: peers.Cut) -> Cut:
    """A cut as a collector told it, as a collector keeps it."""
    receipts = [
        Receipt(
            one.state,
            one.by,
            microseconds(one.at) if one.at else 0,
            [ReceiptFile(file.name, file.sha256) for file in one.files],
        )
        for one in cut.receipts
    ]
    try:
        limits = msgspec.convert(cut.limits, Limits)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{DESCRIPTION}: limits of {cut.period}: {error}", "") from None
    files = [msgspec.convert(msgspec.to_builtins(file), CutFile) for file in cut.files]
    made = microseconds(cut.cut_at)
    return Cut(cut.period, made, limits, cut.ends, files, receipts, cut.early_events)


def _description(archive: tarfile.TarFile) -> Description:
    member = archive.next()
    if member is None or member.name != DESCRIPTION or member.size > _MOST_BYTES:
        raise InvalidInput(f"the stream does not begin with {DESCRIPTION}", "see the formats")
    try:
        return _read_description(_file(archive, member).read())
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{DESCRIPTION}: {error}", "see the formats") from None


def _parts(archive: tarfile.TarFile, number: int, now: int) -> Iterator[Part]:
    found = 0
    while (member := archive.next()) is not None:
        found += 1
        received = min(int(member.mtime * SECOND), now)
        yield Part(member.name, _file(archive, member), received)
    if found != number:
        raise InvalidInput(
            f"{found} of {many(number, 'package')} came", "send all of them in one request"
        )


def _file(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    return archive.extractfile(member) or io.BytesIO()
