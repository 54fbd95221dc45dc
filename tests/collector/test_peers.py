"""Asking other collectors: patience, and errors that name them."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.collector.processes import free_port
from usage_collector import peers
from usage_collector.errors import InvalidInput, NotFound, PeerUnavailable, TooLarge
from usage_collector.peers import Peer, Refused, address, addresses

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def answering(*answers: tuple[int, bytes]) -> Iterator[tuple[str, list[str]]]:
    """A server that gives these answers in turn, then the last one; and what it was asked."""
    left, asked = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers.get('Authorization')}")
            status, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


STATUS = (
    b'{"collector":"c","zone":"z","new":1,"ledgers":[{"id":"L","state":"live","first":1,"last":9,'
    b'"head":"00","began":"2026-10-01T00:00:00Z"}],"periods":[]}'
)


def test_a_passing_failure_is_tried_again() -> None:
    """With longer and longer pauses, and the token in every request."""
    pauses: list[float] = []
    with (
        answering((503, b"{}"), (500, b"no json"), (200, STATUS)) as (url, asked),
        Peer(url, token="secret", sleep=pauses.append) as peer,
    ):
        status = peer.status()
    assert (status.collector, status.ledgers[0].last) == ("c", 9)
    assert asked == ["/v1/periods Bearer secret"] * 3
    assert pauses == [0.5, 1.0]


def test_patience_ends_and_names_the_collector() -> None:
    """After the last attempt the error says which collector it was, and why."""
    with (
        answering((503, b'{"detail":"disk full"}')) as (url, asked),
        Peer(url, sleep=lambda _: None) as peer,
        pytest.raises(PeerUnavailable, match=f"{url} answered 503: disk full"),
    ):
        peer.status()
    assert len(asked) == 4
    gone = f"http://127.0.0.1:{free_port()}"
    with (
        Peer(gone, sleep=lambda _: None) as peer,
        pytest.raises(PeerUnavailable, match=f"{gone} cannot be reached"),
    ):
        peer.status()


def test_one_without_tls_is_told_from_one_that_is_away() -> None:
    """Asked over TLS, it is there all the same: what is wrong is how it was named."""
    with (
        answering((200, STATUS)) as (url, _),
        Peer(url.replace("http:", "https:"), sleep=lambda _: None) as peer,
        pytest.raises(PeerUnavailable, match="answers without TLS: write http://"),
    ):
        peer.status()


def test_one_with_tls_that_is_asked_without_is_told_so() -> None:
    """It closes the connection without a word."""

    def close(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                with listener.accept()[0] as client:
                    client.recv(65_536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=close, args=(listener,), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with (
            Peer(url, sleep=lambda _: None) as peer,
            pytest.raises(PeerUnavailable, match="If it speaks TLS, write https://"),
        ):
            peer.status()
        listener.shutdown(socket.SHUT_RDWR)


def test_a_collector_that_keeps_failing_is_told_in_its_own_words() -> None:
    """A 500 is tried again as it may pass; that of a damaged ledger stays, and is told as such."""
    with (
        answering((500, b'{"detail":"ledger L1 is damaged"}')) as (url, asked),
        Peer(url, sleep=lambda _: None) as peer,
        pytest.raises(Refused, match="ledger L1 is damaged"),
    ):
        peer.cut("2026-10", {})
    assert len(asked) == 4


def test_a_receipt_that_was_not_noted_is_told() -> None:
    """Somebody's friendly 200 is no word of the collector."""
    with (
        answering((200, b"")) as (url, _),
        Peer(url) as peer,
        pytest.raises(PeerUnavailable, match="no answer of a collector"),
    ):
        peer.receipt("2026-10", "sent", [], "me")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (301, Refused),
        (401, Refused),
        (403, Refused),
        (404, NotFound),
        (409, Refused),
        (413, TooLarge),
    ],
)
def test_a_refusal_is_not_tried_again(status: int, error: type[Exception]) -> None:
    """What a collector says no to stays no; its own words are in the error."""
    body = b'{"detail":"its own words","windows":[{"since":"a","until":"b","count":1}]}'
    with (
        answering((status, body)) as (url, asked),
        Peer(url) as peer,
        pytest.raises(error, match="its own words") as caught,
    ):
        peer.status()
    assert len(asked) == 1
    if isinstance(caught.value, TooLarge):
        assert caught.value.windows == [{"since": "a", "until": "b", "count": 1}]


def test_something_else_on_that_port_is_told() -> None:
    """A page that is no collector's answer is not taken for one."""
    with (
        answering((200, b"<html>")) as (url, _),
        Peer(url) as peer,
        pytest.raises(PeerUnavailable, match="no answer of a collector"),
    ):
        peer.status()


def test_a_broken_download_starts_over(tmp_path: Path) -> None:
    """A file never holds the beginning of one attempt and the end of another."""
    with (
        answering((503, b"trouble"), (200, b"package")) as (url, _),
        Peer(url, sleep=lambda _: None) as peer,
    ):
        peer.window(None, None, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"package"


def test_a_whole_month_may_be_read_before_the_answer_begins(tmp_path: Path) -> None:
    """A cut and its sessions are waited for as long as it takes, unless the host has gone."""
    seen: dict[str, tuple[float, int, int]] = {}

    def note(answer: httpx.Response) -> None:
        request, stream = answer.request, answer.extensions["network_stream"]
        got = stream.get_extra_info("socket").getsockopt
        alive, idle = (
            got(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            got(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        )
        seen[request.url.path] = (request.extensions["timeout"]["read"], alive, idle)

    cut = b'{"period":"2026-10","count":0,"files":[]}'
    with answering((200, STATUS), (200, cut), (200, b"")) as (url, _), Peer(url) as peer:
        peer._client.event_hooks = {"response": [note]}
        peer.status()
        peer.cut("2026-10", {})
        peer.sessions("2026-10", tmp_path / "sessions")
    assert seen == {
        "/v1/periods": (60, 1, 15),
        "/v1/periods/2026-10": (7200, 1, 15),
        "/v1/periods/2026-10/sessions": (7200, 1, 15),
    }


def test_a_whole_month_is_not_waited_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be read from the beginning once more, and the job would not end."""
    monkeypatch.setattr(peers, "_LONG", httpx.Timeout(0.2, connect=60))
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        with Peer(f"http://127.0.0.1:{deaf.getsockname()[1]}", sleep=lambda _: None) as peer:
            for ask in (
                lambda: peer.cut("2026-10", {}),
                lambda: peer.sessions("2026-10", tmp_path / "sessions"),
            ):
                with pytest.raises(PeerUnavailable, match="did not answer in time"):
                    ask()
        deaf.setblocking(False)
        for _ in range(2):
            deaf.accept()[0].close()
        with pytest.raises(BlockingIOError):
            deaf.accept()


def test_addresses_are_read_from_a_list_or_a_file(tmp_path: Path) -> None:
    """Commas or lines, with comments; each collector once."""
    expected = ["http://a:8000", "https://b:8000", "http://[::1]:8000"]
    assert addresses("a:8000, https://b:8000/,[::1]:8000,a:8000") == expected
    (tmp_path / "peers").write_text("a:8000\n\n# all of them\nhttps://b:8000 # b\n[::1]:8000\n")
    assert addresses(f"@{tmp_path}/peers") == expected
    assert address("a:8000", secure=True) == "https://a:8000"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "a",
        "a:",
        "a:x",
        "ftp://a:1",
        "http://a:1/path",
        "http://u:p@a:1",
        "@/none",
        "[::1:8000",
        "a..b:8000",
        "a" * 64 + ":8000",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """With a hint that names the reporting port."""
    with pytest.raises(InvalidInput, match="reporting port"):
        addresses(text)


_AT_ONCE = """
import sys, threading
sys.setswitchinterval(1e-7)
from usage_collector.peers.answers import read_status
ledger = b'{"id":"x","state":"live","first":1,"last":2,"head":"","began":"2026-10-01T00:00:00Z"}'
body = b'{"collector":"c","zone":"z","ledgers":[%s],"periods":[]}' % ledger
begin, found = threading.Barrier(8), []
def read():
    begin.wait()
    found.append(read_status(body))
threads = [threading.Thread(target=read) for _ in range(8)]
for one in threads: one.start()
for one in threads: one.join()
assert len(found) == 8
"""


def test_first_answers_may_come_all_at_once() -> None:
    """Every fourth process died of it where threads were the first to decode into a type."""
    for _ in range(6):
        assert subprocess.run([sys.executable, "-c", _AT_ONCE], check=False).returncode == 0
