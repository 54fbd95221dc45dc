"""Keys and certificates of a collector: given ones, or some of its own, made once and kept."""

from __future__ import annotations

import ipaddress
import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from usage_collector import files
from usage_collector.packages import Keys, key_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_log = logging.getLogger(__name__)

_VALID = timedelta(days=3650)
_RENEW_BEFORE = timedelta(days=30)
_OLD = "proof-{}.pub.pem"


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate chain and its private key, as files in PEM."""

    certificate: Path
    key: Path


class Keystore:
    """The keys under ``folder``, with given files taking the place of those made there.

    Raises:
        InvalidInput: a given key cannot be used.
        StorageUnavailable: no room to keep a new one.
    """

    def __init__(self, folder: Path, signing: Path | None, proof: Path | None) -> None:
        self._folder = folder
        files.make_folder(folder)
        self._signing = signing or _made(folder / "hs512.key", _secret)
        self._proof = proof or _made(folder / "proof.pem", _proof_key)
        self._stamp = files.fingerprint([self._signing, self._proof])
        self._keys = self._load()

    def keys(self) -> Keys:
        """What packages are signed with now."""
        return self._keys

    def refresh(self) -> None:
        """Read the files again when they have changed; `InvalidInput` leaves the keys as is."""
        stamp = files.fingerprint([self._signing, self._proof])
        if stamp != self._stamp:
            self._stamp = stamp
            self._keys = self._load()
            _log.info("keys were read again: signing %s", self._keys.signing_kid)

    def proof_keys(self) -> bytes:
        """The public proof keys, PEM: the current one first, then those before, newest first."""
        current = self._folder / _OLD.format(key_id(self._keys.public))
        old = [path for path in self._folder.glob(_OLD.format("*")) if path != current]
        old.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        return b"".join(path.read_bytes() for path in [current, *old])

    def certificate(self, name: str, now: datetime) -> Pair:
        """A self-signed certificate for this host, made anew before it expires."""
        pair = Pair(self._folder / "tls.crt", self._folder / "tls.key")
        if not _usable(pair, now):
            key = ec.generate_private_key(ec.SECP256R1())
            files.write_durably(pair.key, _private(key))
            files.write_durably(pair.certificate, _self_signed(key, name, now), 0o644)
            _log.info("a certificate was made: %s", pair.certificate)
        return pair

    def _load(self) -> Keys:
        keys = Keys.load(self._signing, self._proof)
        known = self._folder / _OLD.format(key_id(keys.public))
        if not known.exists():
            public = Ed25519PublicKey.from_public_bytes(keys.public)
            pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            files.write_durably(known, pem, 0o644)
        return keys


def expiry(certificate: Path) -> datetime:
    """When the first certificate of a chain expires."""
    return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc


def _made(path: Path, make: Callable[[], bytes]) -> Path:
    if not path.exists():
        files.write_durably(path, make())
        _log.info("a key was made: %s", path)
    return path


def _secret() -> bytes:
    return secrets.token_hex(64).encode() + b"\n"


def _proof_key() -> bytes:
    return _private(Ed25519PrivateKey.generate())


def _private(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _usable(pair: Pair, now: datetime) -> bool:
    try:
        return pair.key.exists() and expiry(pair.certificate) - now > _RENEW_BEFORE
    except (OSError, ValueError):
        return False


def _self_signed(key: ec.EllipticCurvePrivateKey, name: str, now: datetime) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    public = key.public_key()
    names = [
        *(x509.DNSName(dns) for dns in dict.fromkeys([name, "localhost"]) if dns.isascii()),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    return (
        x509.CertificateBuilder(subject, subject, public, x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - timedelta(days=1))
        .not_valid_after(now.astimezone(UTC) + _VALID)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
