"""X.509 for the collectors: a certificate authority, leaf certificates, and their inspection."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFE = dt.timedelta(days=3650)
LEAF_LIFE = dt.timedelta(days=90)
_BACKDATE = dt.timedelta(minutes=5)
"""Clocks differ; of very short lives it is a tenth."""
_MAX_COMMON_NAME = 64


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Span:
    """A certificate's life: when it was made, and when it ends."""

    made: dt.datetime
    end: dt.datetime

    @property
    def life(self) -> dt.timedelta:
        """Give how long it lives."""
        return self.end - self.made


def _names(names: list[str]) -> x509.SubjectAlternativeName:
    general: list[x509.GeneralName] = []
    for name in names:
        try:
            general.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            general.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(general)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_MAX_COMMON_NAME])])


def _builder(
    subject: str, issuer: x509.Name, now: dt.datetime, life: dt.timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(subject))
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - min(_BACKDATE, life / 10))
        .not_valid_after(now + life)
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def make_ca(name: str, now: dt.datetime, life: dt.timedelta = CA_LIFE) -> Pair:
    """Make a certificate authority (EC P-256, no intermediates)."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(name, _subject(name), now, life)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def make_leaf(ca: Pair, names: list[str], now: dt.datetime, life: dt.timedelta = LEAF_LIFE) -> Pair:
    """Make a server certificate for DNS names and IP addresses (EC P-256).

    It does not outlive the authority.
    """
    authority = x509.load_pem_x509_certificate(ca.certificate)
    signer = serialization.load_pem_private_key(ca.key, None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise TypeError("the certificate authority's key is no EC key")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(names[0], authority.subject, now, min(life, authority.not_valid_after_utc - now))
        .public_key(key.public_key())
        .add_extension(_names(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    return _pair(certificate, key)


def _covers(certificate: x509.Certificate, name: str) -> bool:
    """Tell whether a certificate is valid for a name, wildcards by RFC 6125."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return False
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        known = {one.lower() for one in extension.value.get_values_for_type(x509.DNSName)}
        return name.lower() in known or "*." + name.lower().partition(".")[2] in known
    return address in extension.value.get_values_for_type(x509.IPAddress)


def readable(certificates: bytes) -> bool:
    """Tell whether these are one or more certificates, PEM."""
    try:
        return bool(x509.load_pem_x509_certificates(certificates))
    except ValueError:
        return False


def span(certificate: bytes) -> Span:
    """Tell when a certificate that was made here lives; ValueError if it is no readable PEM."""
    found = x509.load_pem_x509_certificate(certificate)
    total = found.not_valid_after_utc - found.not_valid_before_utc
    return Span(found.not_valid_before_utc + min(_BACKDATE, total / 11), found.not_valid_after_utc)


def loaded(pair: Pair) -> x509.Certificate | str:
    """Read a pair's certificate; a text says why it, or its key, cannot be used."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, None)
    except (ValueError, TypeError):
        return "certificate or key is no readable PEM"
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if certificate.public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
        return "the key does not belong to the certificate"
    return certificate


def problem(pair: Pair, names: list[str], now: dt.datetime) -> str | None:
    """Tell what keeps a pair from serving the names now; None: nothing."""
    certificate = loaded(pair)
    if isinstance(certificate, str):
        return certificate
    begin = certificate.not_valid_before_utc
    if now < begin:
        return f"the certificate is valid from {begin:%Y-%m-%dT%H:%M:%SZ} on, and not yet"
    if now >= certificate.not_valid_after_utc:
        return f"the certificate expired at {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    missing = [name for name in names if not _covers(certificate, name)]
    if missing:
        return f"the certificate is not valid for {', '.join(missing)}"
    return None


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def stranger(chain: bytes, authorities: bytes) -> str | None:
    """Name the issuer that clients cannot know; None: the chain ends at a root that they get.

    ``chain`` is a server's PEM file, its own certificate first; clients trust ``authorities``
    and, where there are none, what is in the chain. Nothing but roots is trusted by OpenSSL.
    """
    try:
        sent = x509.load_pem_x509_certificates(chain)
        trusted = x509.load_pem_x509_certificates(authorities) if authorities.strip() else sent
    except ValueError:
        return "nobody (it is no readable PEM)"
    current, rest = sent[0], [*trusted, *sent]
    while not (current in trusted and _issued(current, current)):
        above = next((one for one in rest if one != current and _issued(current, one)), None)
        if above is None:
            return current.issuer.rfc4514_string()
        rest = [one for one in rest if one not in (current, above)]
        current = above
    return None


def renewal(pair: Pair, ca: Pair | None, names: list[str], now: dt.datetime) -> str | None:
    """Tell why a certificate of ours has to be made anew; None: it is good.

    It is renewed when a third of its life is left, so that a failed attempt has time to be
    repeated. Without ``ca`` the certificate is the authority itself.
    """
    reason = problem(pair, names, now)
    if reason:
        return reason
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    lives = span(pair.certificate)
    if now >= lives.end - lives.life / 3:
        return "two thirds of its life are over"
    if ca is not None:
        try:
            certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.certificate))
        except (ValueError, TypeError, InvalidSignature):
            return "it was issued by another certificate authority"
    return None
