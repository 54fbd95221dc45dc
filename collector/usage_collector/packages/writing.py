"""Events to a signed package, in constant memory."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from usage_collector.errors import Damaged
from usage_collector.packages.contents import EXPORT, Contents, link, marks_between
from usage_collector.packages.envelope import buffered, compact, sealed
from usage_collector.words import many

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from usage_collector.packages.contents import Chain, Run
    from usage_collector.packages.keys import Keys

_HINT = "nothing was signed; check the ledger with usage-collector check"


def write(contents: Contents, events: Iterable[bytes], keys: Keys) -> Iterator[bytes]:
    """The package's bytes, uncompressed, piece by piece.

    ``events`` are exactly ``contents.count`` original events in order. `Damaged` when they are not
    those of the count, the chain or its marks: such a package is never given a signature.
    """
    if contents.chain:
        events = _chained(contents.chain, events)
    return sealed(EXPORT, buffered(_payload(contents, events)), keys)


def payload_sha256(contents: Contents, events: Iterable[bytes]) -> str:
    """The SHA-256, in hex, of the payload that `write` would sign; `Damaged` as there."""
    if contents.chain:
        events = _chained(contents.chain, events)
    digest = hashlib.sha256()
    for piece in buffered(_payload(contents, events)):
        digest.update(piece)
    return digest.hexdigest()


def _payload(contents: Contents, events: Iterable[bytes]) -> Iterator[bytes]:
    head = {
        "typ": EXPORT,
        "collector": contents.collector,
        "zone": contents.zone,
        **({"ledger": contents.ledger} if contents.chain else {}),
        "period": contents.period,
        "since": contents.since,
        "until": contents.until,
        "count": contents.count,
    }
    yield compact(head)[:-1]
    if contents.chain:
        yield from _chain(contents.chain)
    else:
        yield from _positions(contents.positions or ())
    yield b',"events":['
    count = 0
    for count, event in enumerate(events, 1):
        yield event if count == 1 else b"," + event
    if count != contents.count:
        raise Damaged(f"there are {many(count, 'event')} instead of {contents.count}", _HINT)
    yield b"]}"


def _chain(chain: Chain) -> Iterator[bytes]:
    head = {
        "first": chain.first,
        "last": chain.last,
        "before": chain.before.hex(),
        "after": chain.after.hex(),
    }
    yield b',"chain":' + compact(head)[:-1] + b',"marks":['
    for number, mark in enumerate(chain.marks):
        yield b'%s"%s"' % (b"," if number else b"", mark.hex().encode())
    yield b"]}"


def _positions(positions: Iterable[Run]) -> Iterator[bytes]:
    yield b',"positions":['
    for number, run in enumerate(positions):
        yield (b"," if number else b"") + compact({"ledger": run.ledger, "runs": run.runs})
    yield b"]"


def _chained(chain: Chain, events: Iterable[bytes]) -> Iterator[bytes]:
    """The events as they are, while the chain is followed from ``before`` to ``after``."""
    marks = dict(zip(marks_between(chain.first, chain.last), chain.marks, strict=True))
    head = chain.before
    for position, event in enumerate(events, chain.first):
        head = link(head, hashlib.sha256(event).digest())
        if marks.get(position, head) != head:
            raise Damaged(f"the chain does not hold up to position {position}", _HINT)
        yield event
    if head != chain.after:
        raise Damaged(f"the chain does not hold up to position {chain.last}", _HINT)
