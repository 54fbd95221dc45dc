"""TLS for a listener: 1.2 or newer, forward secrecy, client certificates where a CA is given."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from usage_collector.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from usage_collector.keystore import Pair

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2; those of 1.3 are all sound."""


def context(pair: Pair, client_ca: Path | None) -> ssl.SSLContext:
    """A server's context from these files; `InvalidInput` says which cannot be used."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(_CIPHERS)
    made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    made.set_alpn_protocols(["http/1.1"])
    try:
        made.load_cert_chain(pair.certificate, pair.key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(
            f"certificate {pair.certificate} with key {pair.key} cannot be used: {error}",
            "give a PEM certificate chain and its unencrypted key",
        ) from None
    if client_ca is not None:
        made.verify_mode = ssl.CERT_REQUIRED
        try:
            made.load_verify_locations(client_ca)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(
                f"client CA {client_ca} cannot be used: {error}", "give CA certificates as PEM"
            ) from None
    return made
