"""The signed envelope that packages and manifests share: header, payload, signature, proof."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING

from isal import isal_zlib

from usage_collector.packages.contents import VERSION
from usage_collector.packages.keys import to_base64url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from usage_collector.packages.keys import Keys

CHUNK = 256 * 1024
_GZIP_LEVEL = 2
_GZIP_WINDOW = 31  # zlib's way to say: 32 KiB window, with a gzip header


def compact(value: object) -> bytes:
    """JSON in the one spelling that packages use: no white space, UTF-8, members as given."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def sealed(typ: str, payload: Iterable[bytes], keys: Keys) -> Iterator[bytes]:
    """The envelope around a payload's bytes.

    HS512 (RFC 7518, HMAC with SHA-512) covers exactly the payload's bytes; the Ed25519 proof
    (RFC 8032) signs the 64 bytes of their SHA-512.
    """
    secret = hmac.new(keys.signing, digestmod=hashlib.sha512)
    digest = hashlib.sha512()
    header = {"alg": "HS512", "kid": keys.signing_kid, "typ": typ, "v": VERSION}
    yield b'{"header":' + compact(header) + b',"payload":'
    for chunk in payload:
        secret.update(chunk)
        digest.update(chunk)
        yield chunk
    proof = {
        "alg": "Ed25519",
        "kid": keys.proof_kid,
        "key": to_base64url(keys.public),
        "signature": to_base64url(keys.proof.sign(digest.digest())),
    }
    signature = compact(to_base64url(secret.digest()))
    yield b',"signature":' + signature + b',"proof":' + compact(proof) + b"}"


def buffered(parts: Iterable[bytes], size: int = CHUNK) -> Iterator[bytes]:
    """Many small pieces as few of about ``size`` bytes."""
    pending: list[bytes] = []
    length = 0
    for part in parts:
        pending.append(part)
        length += len(part)
        if length >= size:
            yield b"".join(pending)
            pending.clear()
            length = 0
    if pending:
        yield b"".join(pending)


def gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """A gzip stream (RFC 1952) without name or time: the same input gives the same bytes."""
    packer = isal_zlib.compressobj(_GZIP_LEVEL, isal_zlib.DEFLATED, _GZIP_WINDOW)
    for chunk in chunks:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()
