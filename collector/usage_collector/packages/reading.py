"""A package file back to its contents and events, in constant memory."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from usage_collector.packages.contents import (
    EXPORT,
    VERSION,
    Chain,
    Contents,
    Marks,
    Run,
    marks_between,
)
from usage_collector.packages.keys import from_base64url, key_id
from usage_collector.packages.scanner import OBJECT, SCALAR, Malformed, Scanner, unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from usage_collector.packages.scanner import Readable

_DIGEST = re.compile(rb'"[0-9a-f]{64}"')
_MAX_POSITIONS = 100_000_000
_MAX_RUN = 64 * 1024 * 1024
_HEADER = frozenset({"alg", "kid", "typ", "v"})
_PROOF = frozenset({"alg", "kid", "key", "signature"})


class Foreign(Malformed):
    """A readable file that is not one of ours: another type, version or algorithm."""


@dataclass(frozen=True, slots=True)
class Seal:
    """How a file was signed, checked against its payload as it was read.

    ``secret_ok`` is None where the secret of ``signing_kid`` was not given. ``sha256`` is of the
    file as it stands, ``payload_sha256`` of the payload's exact bytes, which stand in the plain
    content at ``span``; ``signature`` is the proof's.
    """

    signing_kid: str
    secret_ok: bool | None
    proof_kid: str
    public: bytes
    proof_ok: bool
    sha256: str
    payload_sha256: str
    size: int
    span: tuple[int, int]
    signature: bytes


class _Size:
    def __init__(self) -> None:
        self.total = 0

    def update(self, data: bytes, /) -> None:
        self.total += len(data)


class Envelope:
    """One signed file, read once from front to back: header, payload, signature, proof.

    ``secrets`` are HS512 secrets by their key id. `Malformed` (or `Foreign`) is raised as soon as
    the bytes leave the format.
    """

    def __init__(self, file: Readable, typ: str, secrets: Mapping[str, bytes]) -> None:
        self._file_hash = hashlib.sha256()
        self._size = _Size()
        self.scanner = Scanner(unpacked(file, (self._file_hash, self._size)))
        self._payload = (hashlib.sha512(), hashlib.sha256())
        self.signing_kid = self._header(typ)
        secret = secrets.get(self.signing_kid)
        self._mac = hmac.new(secret, digestmod=hashlib.sha512) if secret else None
        self.scanner.listen(*self._payload, *((self._mac,) if self._mac else ()))

    def _header(self, typ: str) -> str:
        if not self.scanner.skip(b'{"header":'):
            raise Foreign("this is no usage package", "give only files that a collector exported")
        header = self.scanner.value(OBJECT, "the header")
        if not isinstance(header, dict) or header.keys() != _HEADER or header["alg"] != "HS512":
            raise Foreign(f"the header {str(header)[:200]} is not of a usage package")
        if header["typ"] != typ or header["v"] != VERSION or not isinstance(header["kid"], str):
            raise Foreign(f"type {header['typ']}, version {header['v']} is not {typ}, {VERSION}")
        self.scanner.expect(b',"payload":')
        self._start = self.scanner.offset
        return header["kid"]

    def close(self) -> Seal:
        """Reads what follows the payload and checks it."""
        self.scanner.listen()
        span = (self._start, self.scanner.offset)
        self.scanner.expect(b',"signature":')
        signature = self._bytes(self.scanner.value(SCALAR, "the signature"), "signature")
        self.scanner.expect(b',"proof":')
        proof = self.scanner.value(OBJECT, "the proof")
        if not isinstance(proof, dict) or proof.keys() != _PROOF or proof["alg"] != "Ed25519":
            raise Foreign("the proof is not Ed25519's")
        self.scanner.expect(b"}")
        self.scanner.end()
        public = self._bytes(proof["key"], "key of the proof")
        proven = self._bytes(proof["signature"], "signature of the proof")
        digest, payload_sha256 = self._payload
        return Seal(
            signing_kid=self.signing_kid,
            secret_ok=hmac.compare_digest(self._mac.digest(), signature) if self._mac else None,
            proof_kid=str(proof["kid"]),
            public=public,
            proof_ok=proof["kid"] == key_id(public) and _proves(public, proven, digest.digest()),
            sha256=self._file_hash.hexdigest(),
            payload_sha256=payload_sha256.hexdigest(),
            size=self._size.total,
            span=span,
            signature=proven,
        )

    def _bytes(self, text: object, what: str) -> bytes:
        try:
            return from_base64url(str(text))
        except ValueError:
            raise Malformed(
                f"the {what} before byte {self.scanner.offset} is no base64url"
            ) from None


def _proves(public: bytes, signature: bytes, digest: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, digest)
    except (InvalidSignature, ValueError):
        return False
    return True


class Package:
    """One package file: ``contents`` at once, then `events`, then `close`, in this order."""

    def __init__(self, file: Readable, secrets: Mapping[str, bytes]) -> None:
        self._envelope = Envelope(file, EXPORT, secrets)
        self._scanner = self._envelope.scanner
        self.contents = self._head()

    def _head(self) -> Contents:
        scan = self._scanner
        scan.expect(b'{"typ":"usage-export"')
        collector = self._text("collector")
        zone = self._text("zone")
        ledger = self._text("ledger") if scan.peek(b',"ledger":') else None
        period, since, until = (self._text_or_null(name) for name in ("period", "since", "until"))
        count = self._number(b',"count":')
        chain = self._chain() if ledger is not None else None
        if chain and count != chain.last - chain.first + 1:
            raise Malformed(f"count {count} is not that of {chain.first} to {chain.last}")
        positions = None if chain else tuple(self._positions())
        if positions is not None and count != sum(run.count for run in positions):
            raise Malformed(f"count {count} is not that of the positions")
        scan.expect(b',"events":[')
        return Contents(collector, zone, ledger, period, since, until, count, chain, positions)

    def _text_or_null(self, name: str) -> str | None:
        self._scanner.expect(b',"%s":' % name.encode())
        found = self._scanner.value(SCALAR, f"the text of {name}")
        if found is not None and not isinstance(found, str):
            raise self._scanner.refuse(f"a text as {name}")
        return found

    def _text(self, name: str) -> str:
        found = self._text_or_null(name)
        if found is None:
            raise self._scanner.refuse(f"a text as {name}")
        return found

    def _number(self, before: bytes) -> int:
        self._scanner.expect(before)
        found = self._scanner.value(SCALAR, "a number")
        if not isinstance(found, int):
            raise self._scanner.refuse("a number")
        return found

    def _digest(self) -> bytes:
        return bytes.fromhex(self._scanner.take(_DIGEST, "a hash of 64 hex digits")[1:-1].decode())

    def _chain(self) -> Chain:
        scan = self._scanner
        first = self._number(b',"chain":{"first":')
        last = self._number(b',"last":')
        if not 1 <= first <= last + 1 or last - first >= _MAX_POSITIONS:
            raise Malformed(f"positions {first} to {last} are no range that a package can hold")
        scan.expect(b',"before":')
        before = self._digest()
        scan.expect(b',"after":')
        after = self._digest()
        scan.expect(b',"marks":[')
        marks = bytearray()
        for number in range(len(marks_between(first, last))):
            if number:
                scan.expect(b",")
            marks += self._digest()
        scan.expect(b"]}")
        return Chain(first, last, before, after, Marks(bytes(marks)))

    def _positions(self) -> Iterator[Run]:
        scan = self._scanner
        scan.expect(b',"positions":[')
        while not scan.skip(b"]"):
            yield _run(scan.value(OBJECT, "a ledger's positions", _MAX_RUN), scan)
            if not scan.skip(b","):
                scan.expect(b"]")
                return

    def events(self) -> Iterator[bytes]:
        """The events in their order, each byte for byte; to be read to the end."""
        scan = self._scanner
        if not scan.skip(b"]}"):
            yield from scan.objects()
            scan.expect(b"]}")

    def close(self) -> Seal:
        """Checks the signatures, once all events have been read."""
        return self._envelope.close()


def _run(value: object, scan: Scanner) -> Run:
    match value:
        case {"ledger": str(ledger), "runs": [*found], **rest} if not rest:
            pairs = tuple((pair[0], pair[1]) for pair in found if _is_pair(pair))
            if len(pairs) == len(found):
                return Run(ledger, pairs)
    raise scan.refuse("positions as {ledger, runs:[[first,last]…]} before this")


def _is_pair(pair: object) -> bool:
    match pair:
        case [int(first), int(last)]:
            return 1 <= first <= last < first + _MAX_POSITIONS
    return False
