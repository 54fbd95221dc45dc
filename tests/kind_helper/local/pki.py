"""The certificates of a local cluster: one authority, and a certificate for each component."""

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = datetime.timedelta(days=3650)
_SKEW = datetime.timedelta(hours=1)


def _name(common_name: str, organisation: str | None = None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organisation:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(parts)


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def write_key(file: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a private key that only its owner can read."""
    file.touch(mode=0o600)
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


class Authority:
    """Makes a certificate authority in a folder, and certificates that it signs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name("usage-kind")
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        builder = self._builder(self._subject, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        self._write("ca", self._key, builder.add_extension(usage, True))

    @property
    def certificate(self) -> Path:
        """The authority's own certificate."""
        return self._folder / "ca.crt"

    def issue(
        self, file: str, name: str, organisation: str | None = None, hosts: Sequence[str] = ()
    ) -> tuple[Path, Path]:
        """Write a certificate (for a server when `hosts` are given, and for a client) and key.

        `name` is the user and `organisation` the group that Kubernetes sees.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = self._builder(_name(name, organisation), key.public_key())
        if hosts:
            uses.append(ExtendedKeyUsageOID.SERVER_AUTH)
            names = x509.SubjectAlternativeName([_alternative(host) for host in hosts])
            builder = builder.add_extension(names, False)
        return self._write(file, key, builder.add_extension(x509.ExtendedKeyUsage(uses), False))

    def key_pair(self, file: str) -> tuple[Path, Path]:
        """Write a bare key pair, public and private, for signing service account tokens."""
        key = ec.generate_private_key(ec.SECP256R1())
        write_key(self._folder / f"{file}.key", key)
        public = self._folder / f"{file}.pub"
        public.write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        return public, self._folder / f"{file}.key"

    def _builder(
        self, subject: x509.Name, public: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + _LIFETIME)
        )

    def _write(
        self, file: str, key: ec.EllipticCurvePrivateKey, builder: x509.CertificateBuilder
    ) -> tuple[Path, Path]:
        certificate = builder.sign(self._key, hashes.SHA256())
        write_key(self._folder / f"{file}.key", key)
        target = self._folder / f"{file}.crt"
        target.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return target, self._folder / f"{file}.key"
