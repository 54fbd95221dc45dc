"""The answer to a stored event, in each way a client may ask for it."""

from __future__ import annotations

import re
import socket
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

from tests.collector.process import CollectorProcess
from tests.collector.samples import event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HEAD = re.compile(rb"HTTP/1\.(\d) (\d+) [^\r]*\r\n((?:[^\r]+\r\n)*)\r\n")


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """One that closes a connection with its fifth answer."""
    folder: Path = tmp_path_factory.mktemp("created") / "data"
    with CollectorProcess(folder, EATS_SECURE="false", USAGE_KEEPALIVE_REQUESTS="5") as process:
        yield process


def _request(version: str, number: int, *headers: str) -> bytes:
    body = event(number)
    lines = [f"POST /v1/log HTTP/{version}", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode() + body


def _answer(
    collector: CollectorProcess, request: bytes, *, closed: bool
) -> tuple[str, int, dict[str, str]]:
    """Minor version, status and headers of the answer, after which the connection is closed."""
    with socket.create_connection(("127.0.0.1", collector.ingest_port), timeout=60) as client:
        client.sendall(request)
        data = b""
        while not (head := _HEAD.fullmatch(data)):
            piece = client.recv(65536)
            assert piece, data
            data += piece
        assert not closed or client.recv(1) == b""
        fields = re.findall(r"([^:\r\n]+): ([^\r]+)", head[3].decode())
        return head[1].decode(), int(head[2]), dict(fields)


def test_an_answer_says_when_it_was_given(collector: CollectorProcess) -> None:
    """Date is now, in the form of RFC 9110; the connection stays open."""
    minor, status, headers = _answer(collector, _request("1.1", 1), closed=False)
    assert (minor, status, headers["Content-Length"]) == ("1", 201, "0")
    assert abs(parsedate_to_datetime(headers["Date"]) - datetime.now(UTC)) < timedelta(minutes=2)
    assert "Connection" not in headers


def test_requests_sent_at_once_are_answered_in_order(collector: CollectorProcess) -> None:
    """Each gets its own answer, what is refused in the middle too; the fifth is the last."""
    refused = b"POST /v1/log HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n[7]"
    sent = [_request("1.1", n) for n in (11, 12, 14, 15)]
    with socket.create_connection(("127.0.0.1", collector.ingest_port), timeout=60) as client:
        client.sendall(b"".join([*sent[:2], refused, *sent[2:], _request("1.1", 16)]))
        data = b""
        while piece := client.recv(65536):
            data += piece
    found = re.findall(rb"HTTP/1\.1 (\d+)", data)
    assert found == [b"201", b"201", b"400", b"201", b"201"]
    assert data.count(b"Connection: close") == 1


@pytest.mark.parametrize(
    ("version", "headers", "kept"),
    [
        ("1.1", ["Connection: close"], False),
        ("1.0", [], False),
        ("1.0", ["Connection: keep-alive"], True),
    ],
)
def test_what_a_client_says_of_the_connection_counts(
    collector: CollectorProcess, version: str, headers: list[str], kept: bool
) -> None:
    """Closed when it wants that, also by its version; an old client is told that it stays open."""
    request = _request(version, 21, *headers)
    minor, status, fields = _answer(collector, request, closed=not kept)
    assert (minor, status) == (version[-1], 201)
    if kept:
        assert fields["Connection"] == "keep-alive"
