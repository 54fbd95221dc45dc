"""What is spoken on the TLS ports."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from tests.collector.process import CollectorProcess

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """One with TLS on both ports."""
    folder = tmp_path_factory.mktemp("tls") / "data"
    with CollectorProcess(folder, PANDAS_SECURE="true") as process:
        yield process


def _agreed(collector: CollectorProcess, context: ssl.SSLContext, port: int) -> tuple[str, str]:
    """The version and the cipher that both sides agree upon."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as secured,
    ):
        cipher = secured.cipher()
        assert cipher is not None
        return secured.version() or "", cipher[0]


def _ports(collector: CollectorProcess) -> tuple[int, int]:
    return collector.ingest_port, collector.reporting_port


def test_the_newest_version_is_chosen(collector: CollectorProcess) -> None:
    """Clients that know TLS 1.3 get it."""
    for port in _ports(collector):
        assert _agreed(collector, collector.trusting(), port)[0] == "TLSv1.3"


@pytest.mark.parametrize("cipher", ["ECDHE+AESGCM", "ECDHE+CHACHA20"])
def test_version_1_2_has_forward_secrecy_and_authenticated_encryption(
    collector: CollectorProcess, cipher: str
) -> None:
    """Older clients get through with the sound ciphers."""
    context = collector.trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher)
    for port in _ports(collector):
        version, chosen = _agreed(collector, context, port)
        assert version == "TLSv1.2"
        assert chosen.startswith("ECDHE-")
        assert "GCM" in chosen or "CHACHA20" in chosen


@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "ECDHE+AES+SHA", "AES256-SHA", "NULL"])
def test_weak_ciphers_are_refused(collector: CollectorProcess, cipher: str) -> None:
    """No forward secrecy, no authenticated encryption, none at all: no connection."""
    context = collector.trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher + ":@SECLEVEL=0")
    for port in _ports(collector):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _agreed(collector, context, port)
