"""The two keys of a package: a secret shared with the vendor, and a proof for everyone."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from usage_collector.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

MIN_SECRET = 32
_PEM_END = b"-----END PUBLIC KEY-----"


def key_id(key: bytes) -> str:
    """The first 16 hex digits of the key's SHA-256: what `kid` says in a package."""
    return hashlib.sha256(key).hexdigest()[:16]


def to_base64url(data: bytes) -> str:
    """Base64url without padding (RFC 4648, section 5)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64url(text: str) -> bytes:
    """The reverse of `to_base64url`; ValueError for any other spelling of the same bytes."""
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if to_base64url(data) != text:
        raise ValueError("not base64url without padding")
    return data


def read_secret(path: Path) -> bytes:
    """An HS512 secret: the file's bytes less one final newline, at least 32 of them."""
    data = _read(path, "signing key")
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if len(data) < MIN_SECRET:
        raise InvalidInput(
            f"signing key {path} has {len(data)} bytes",
            f"at least {MIN_SECRET} are needed, e.g. openssl rand -hex 64 > {path.name}",
        )
    return data


def read_proof_key(path: Path) -> Ed25519PrivateKey:
    """An Ed25519 private key in PEM (PKCS 8)."""
    hint = f"make one with openssl genpkey -algorithm ed25519 -out {path.name}"
    try:
        key = load_pem_private_key(_read(path, "proof key"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InvalidInput(f"proof key {path} is no unencrypted private key in PEM", hint) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput(f"proof key {path} is not an Ed25519 key", hint)
    return key


def read_public_keys(path: Path) -> list[bytes]:
    """The raw bytes of every Ed25519 public key of a PEM file, as `/v1/proof-key` serves it."""
    hint = "fetch it from a collector's /v1/proof-key"
    found = []
    for block in _read(path, "proof key").split(_PEM_END)[:-1]:
        try:
            key = load_pem_public_key(block + _PEM_END + b"\n")
        except (ValueError, UnsupportedAlgorithm):
            raise InvalidInput(f"proof key {path} is not a public key in PEM", hint) from None
        if not isinstance(key, Ed25519PublicKey):
            raise InvalidInput(f"proof key {path} is not an Ed25519 key", hint)
        found.append(key.public_bytes_raw())
    if not found:
        raise InvalidInput(f"proof key {path} holds no public key", hint)
    return found


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"{what} {path} cannot be read: {error.strerror}", "check the path and its rights"
        ) from None


@dataclass(frozen=True, slots=True)
class Keys:
    """What a package or a manifest is signed with."""

    signing: bytes
    proof: Ed25519PrivateKey

    @classmethod
    def load(cls, signing_file: Path, proof_file: Path) -> Self:
        """Reads both files; `InvalidInput` says which is unusable and how to make one."""
        return cls(read_secret(signing_file), read_proof_key(proof_file))

    @property
    def signing_kid(self) -> str:
        """The secret's key id."""
        return key_id(self.signing)

    @property
    def public(self) -> bytes:
        """The proof's public key, 32 raw bytes."""
        return self.proof.public_key().public_bytes_raw()

    @property
    def proof_kid(self) -> str:
        """The public key's key id."""
        return key_id(self.public)

    def __repr__(self) -> str:
        return f"Keys(signing_kid={self.signing_kid!r}, proof_kid={self.proof_kid!r})"
