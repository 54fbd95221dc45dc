"""Files encrypted in pieces, so that neither memory nor trust is needed for more than one of them.

AES-256-GCM (NIST SP 800-38D) over pieces of 64 KiB in the STREAM construction (Hoang, Reyhanitabar,
Rogaway, Vizár 2015): a piece that is changed, moved, left out or added at the end does not decrypt.
A file is

    "USAGEBK1" ‖ key id (8 bytes) ‖ salt (16 bytes) ‖ pieces, each with its tag of 16 bytes

The file's own key is HKDF-SHA256 (RFC 5869) of the secret, with that salt and the info
"usage-backup". Piece n has the nonce n (11 bytes, big-endian) ‖ 1 for the last piece, else 0.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from usage_collector.errors import Damaged, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from usage_collector.packages.scanner import Readable

MAGIC = b"USAGEBK1"
SUFFIX = ".enc"
PIECE = 64 * 1024
_TAG = 16
_MIN_SECRET = 32


class Key:
    """A secret that encrypts backups; ``id`` names it and tells nothing of it."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._id = hashlib.sha256(b"usage-backup key id" + secret).digest()[:8]

    @property
    def id(self) -> str:
        """16 hex digits."""
        return self._id.hex()

    @classmethod
    def load(cls, path: Path) -> Key:
        """The file's bytes less a final newline, at least 32 of them."""
        try:
            secret = path.read_bytes().removesuffix(b"\n").removesuffix(b"\r")
        except OSError as error:
            raise InvalidInput(f"key file {path}: {error.strerror}", "check the path") from None
        if len(secret) < _MIN_SECRET:
            raise InvalidInput(
                f"key file {path} has {len(secret)} bytes",
                f"at least {_MIN_SECRET} are needed, e.g. openssl rand -hex 32 > {path.name}",
            )
        return cls(secret)

    def seal(self, plain: BinaryIO) -> Iterator[bytes]:
        """The encrypted file, piece by piece."""
        salt = os.urandom(16)
        cipher = self._cipher(salt)
        yield MAGIC + self._id + salt
        number, piece = 0, plain.read(PIECE)
        while True:
            following = plain.read(PIECE)
            yield cipher.encrypt(_nonce(number, last=not following), piece, None)
            if not following:
                return
            number, piece = number + 1, following

    def _cipher(self, salt: bytes) -> AESGCM:
        return AESGCM(HKDF(SHA256(), 32, salt, b"usage-backup").derive(self._secret))

    def opened(self, file: Readable, name: str) -> Iterator[bytes]:
        """The plain bytes of an encrypted file, each piece proven before it is handed out.

        Raises:
            InvalidInput: it is encrypted with another key.
            Damaged: it is not what was written.
        """
        head = _read(file, len(MAGIC) + 24)
        if len(head) < len(MAGIC) + 24 or not head.startswith(MAGIC):
            raise Damaged(f"{name} is no encrypted backup file")
        if head[8:16] != self._id:
            raise InvalidInput(
                f"{name} is encrypted with key {head[8:16].hex()}, not {self.id}",
                "give the key file that the backup was made with",
            )
        cipher = self._cipher(head[16:])
        number, piece = 0, _read(file, PIECE + _TAG)
        while True:
            following = _read(file, PIECE + _TAG)
            try:
                yield cipher.decrypt(_nonce(number, last=not following), piece, None)
            except InvalidTag:
                place = len(MAGIC) + 24 + number * (PIECE + _TAG)
                raise Damaged(f"{name} was altered or cut off behind byte {place}") from None
            if not following:
                return
            number, piece = number + 1, following


class Unsealed:
    """A stream of bytes as a file to be read once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""

    def read(self, size: int, /) -> bytes:
        """At most that many bytes, none at the end."""
        while not self._held:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._held = piece
        found, self._held = self._held[:size], self._held[size:]
        return found


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _read(file: Readable, size: int) -> bytes:
    """That many bytes, fewer only at the end."""
    found = b""
    while len(found) < size and (more := file.read(size - len(found))):
        found += more
    return found
