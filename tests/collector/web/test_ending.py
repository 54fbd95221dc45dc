"""What a client hears of a request that is under way when the collector ends."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import pytest

from tests.collector.process import CollectorProcess
from tests.collector.samples import event
from usage_collector.upkeep import check

if TYPE_CHECKING:
    import ssl
    from pathlib import Path


@pytest.mark.parametrize("rest", [True, False], ids=["goes-on-sending", "stays-silent"])
def test_half_a_body_is_answered_at_the_end(tmp_path: Path, rest: bool) -> None:
    """Its client hears 503 and when to try again, also one that sends on; nothing is stored."""
    collector = CollectorProcess(tmp_path / "data")
    # Time for a client that still sends to get to its answer, however slow this machine is.
    collector.patch("usage_collector.web.listener.LINGER_SECONDS", 300.0 if rest else 0.5)
    collector.patch("usage_collector.web.bodies.READ_SECONDS", 300.0)
    raw = event(1, noise="0" * 1_000_000)
    with collector:
        assert collector.process is not None
        address = "127.0.0.1", collector.ingest_port
        with (
            socket.create_connection(address, timeout=120) as plain,
            collector.trusting().wrap_socket(plain, server_hostname="127.0.0.1") as client,
        ):
            head = f"POST /v1/log HTTP/1.1\r\nHost: x\r\nContent-Length: {len(raw)}\r\n"
            client.sendall(head.encode() + b"Expect: 100-continue\r\n\r\n")
            assert _head(client).startswith(b"HTTP/1.1 100 ")
            client.sendall(raw[:1000])
            collector.process.send_signal(signal.SIGTERM)
            answer = _head(client)
            if rest:
                client.sendall(raw[1000:])
            # Who leaves with something unread resets the connection, and the rest may be lost.
            while client.recv(1000):
                pass
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 1\r\n" in answer
        assert b"\r\nConnection: close\r\n" in answer
        assert collector.process.wait(120) == 0
        report = check(tmp_path / "data", lambda *_: None)
        assert (report.findings, report.events) == ([], 0)


def _head(client: ssl.SSLSocket) -> bytes:
    """All up to the empty line after an answer's headers."""
    found = b""
    while not found.endswith(b"\r\n\r\n"):
        found += client.recv(1) or pytest.fail(f"closed after {found!r}")
    return found
