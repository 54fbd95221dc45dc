"""Clients that mean no good: large, slow, endless. Whatever they send, others are served."""

from __future__ import annotations

import contextlib
import gzip
import random
import re
import select
import socket
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import zstandard

from tests.collector.process import CollectorProcess
from tests.collector.samples import array, event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 2**20
LIMIT = 8 * MIB
ENOUGH = 9 * LIMIT
"""More than that above idle is not "a few times" the largest body."""


def _gzip_bomb() -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    return b"".join([*(packer.compress(bytes(MIB)) for _ in range(512)), packer.flush()])


def _wide(head: bytes, piece: bytes) -> bytes:
    return head + piece * ((LIMIT - len(head) - 9) // len(piece)) + b"1]}"


_BODIES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a gzip bomb": ("gzip", _gzip_bomb),
    "a zstd bomb": ("zstd", lambda: zstandard.ZstdCompressor(level=1).compress(bytes(512 * MIB))),
    "a bomb in a bomb": ("gzip", lambda: gzip.compress(_gzip_bomb())),
    "1,000 levels": ("identity", lambda: b'{"a":' * 1000 + b"1" + b"}" * 1000),
    "only brackets": ("identity", lambda: b"[" * LIMIT),
    "only braces": ("identity", lambda: b'[{"a":' * (LIMIT // 6)),
    "millions of empty arrays": ("identity", lambda: _wide(b'{"event":7,"a":[', b"[],")),
    "millions of objects": ("identity", lambda: b"[" + b"{}," * (LIMIT // 3 - 1) + b"{}]"),
    "millions of numbers": ("identity", lambda: _wide(b'[{"event":7,"a":[', b"1,") + b"]"),
    "a very long string": ("gzip", lambda: gzip.compress(_wide(b'{"a":["', b"x")[:-3] + b'"]}')),
}


def _memory(collector: CollectorProcess, what: str) -> int:
    assert collector.process is not None
    status = Path(f"/proc/{collector.process.pid}/status").read_text()
    found = re.search(rf"^{what}:\s+(\d+) kB", status, re.MULTILINE)
    assert found
    return int(found[1]) * 1024


@contextlib.contextmanager
def _measured(collector: CollectorProcess, most: int) -> Iterator[None]:
    """No more memory than that is ever taken meanwhile, above what was before."""
    assert collector.process is not None
    Path(f"/proc/{collector.process.pid}/clear_refs").write_text("5")
    before = _memory(collector, "VmRSS")
    yield
    assert _memory(collector, "VmHWM") - before < most


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """One that gives slow clients much time, so that nobody is slow because the machine is."""
    process = CollectorProcess(
        tmp_path_factory.mktemp("hostile") / "data",
        EATS_SECURE="false",
        USAGE_KEEPALIVE_SECONDS="600",
    )
    with process.patch("usage_collector.web.bodies.READ_SECONDS", 600.0):
        httpx.post(process.ingest_url + "/v1/log", content=event()).raise_for_status()
        yield process


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """One that gives slow clients less time than usual."""
    process = CollectorProcess(
        tmp_path_factory.mktemp("strict") / "data",
        EATS_SECURE="false",
        USAGE_KEEPALIVE_SECONDS="2",
    )
    process.patch("usage_collector.web.streaming.STALLED_SECONDS", 1.0)
    with process.patch("usage_collector.web.bodies.READ_SECONDS", 2.0):
        yield process


def _works(collector: CollectorProcess) -> None:
    url = collector.ingest_url + "/v1/log"
    assert httpx.post(url, content=event(), timeout=60).status_code == 201


@pytest.mark.parametrize("name", _BODIES)
def test_no_request_takes_more_than_a_few_times_its_limit(
    collector: CollectorProcess, name: str
) -> None:
    """Whatever is in 8 MiB, or comes out of them, memory stays bounded."""
    encoding, make = _BODIES[name]
    url, headers, body = collector.ingest_url + "/v1/log", {"Content-Encoding": encoding}, make()
    with _measured(collector, ENOUGH):
        answer = httpx.post(url, content=body, headers=headers, timeout=60)
    assert answer.status_code in (201, 400, 413)


def _endless(collector: CollectorProcess, head: bytes, piece: bytes) -> bytes:
    """What is answered to a body that does not end; at most 1 GB of it is sent."""
    address = ("127.0.0.1", collector.ingest_port)
    with socket.create_connection(address, timeout=60) as client:
        client.sendall(b"POST /v1/log HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(1000 * MIB // len(piece)):
                client.sendall(piece)
        with contextlib.suppress(ConnectionError):
            return client.recv(4096)
    return b""


def test_a_body_of_a_gigabyte_is_refused_early(collector: CollectorProcess) -> None:
    """Announced or in chunks without an end: 413 after 8 MiB, or cut off."""
    chunk = b"%x\r\n%s\r\n" % (MIB, b"x" * MIB)
    with _measured(collector, ENOUGH):
        announced = _endless(collector, b"Content-Length: 1000000000", bytes(MIB))
        chunked = _endless(collector, b"Transfer-Encoding: chunked", chunk)
    assert announced == b"" or b" 413 " in announced
    assert chunked == b"" or b" 413 " in chunked
    _works(collector)


@pytest.mark.parametrize("length", [b"-1", b"5x", b"9" * 30, b"5\r\nContent-Length: 6"])
def test_a_length_that_is_none_is_refused(collector: CollectorProcess, length: bytes) -> None:
    """A Content-Length that lies or contradicts itself is never guessed at."""
    address = ("127.0.0.1", collector.ingest_port)
    with socket.create_connection(address, timeout=60) as client:
        request = b"POST /v1/log HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n{}"
        client.sendall(request)
        assert client.recv(4096).split()[1] in (b"400", b"413")


def test_many_large_requests_at_once_share_the_room(collector: CollectorProcess) -> None:
    """Forty of 8 MiB at once: each is taken or told to come again, in less than 200 MB."""
    url = collector.ingest_url + "/v1/log"
    statuses: list[int] = []

    def send(number: int) -> None:
        body = array([event(number, noise="x" * (LIMIT - 2000))])
        statuses.append(httpx.post(url, content=body, timeout=60).status_code)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(40)]
    with _measured(collector, 200 * 10**6):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(statuses) <= {201, 408, 503}
    assert len(statuses) == 40
    assert statuses.count(201) > 3
    _works(collector)


def _rest(client: socket.socket) -> bytes:
    """All that comes until the connection is closed."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while piece := client.recv(4096):
            received += piece
    return received


def _dribble(client: socket.socket, data: bytes, over: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while not over.wait(0.1):
            client.sendall(data)


@contextlib.contextmanager
def _slow(collector: CollectorProcess) -> Iterator[list[socket.socket]]:
    """A crowd that sends headers or bodies a byte at a time, or nothing at all; 72 send bodies."""
    begun = b"POST /v1/log HTTP/1.1\r\nHost: x\r\n"
    large = begun + b"Content-Length: 8000000\r\n\r\n" + b"x" * 100_000
    openings = [(b"", b""), (begun, b"a"), (begun + b"Content-Length: 9000\r\n\r\n", b"x")]
    over = threading.Event()
    clients, dribblers = [], []
    for opening, rest in [*openings * 60, *[(large, b"x")] * 12]:
        client = socket.create_connection(("127.0.0.1", collector.ingest_port), timeout=60)
        client.sendall(opening)
        clients.append(client)
        if rest:
            dribblers.append(threading.Thread(target=_dribble, args=(client, rest, over)))
    for thread in dribblers:
        thread.start()
    try:
        yield clients
    finally:
        over.set()
        for thread in dribblers:
            thread.join()
        for client in clients:
            client.close()


def test_slow_and_idle_clients_hold_nobody_up(collector: CollectorProcess) -> None:
    """Others are served while none of them was given up yet."""
    with _slow(collector) as clients:
        _works(collector)
        answered, _, _ = select.select(clients, [], [], 0)
        assert not [one for one in answered if not one.recv(100).startswith(b"HTTP/1.1 503")]


def test_slow_and_idle_clients_are_cut_off(strict: CollectorProcess) -> None:
    """Each of them, once its time is over."""
    with _slow(strict) as clients:
        answers = [_rest(client) for client in clients]
        assert sum(b" 408 " in answer for answer in answers) == 60 + 12
    _works(strict)


def test_a_client_that_stops_reading_is_given_up(strict: CollectorProcess) -> None:
    """An export that nobody takes does not stay open for ever."""
    for start in range(0, 4000, 500):
        raws = [event(start + n, noise=random.randbytes(1000).hex()) for n in range(500)]
        httpx.post(strict.ingest_url + "/v1/log", content=array(raws)).raise_for_status()
    with socket.create_connection(("127.0.0.1", strict.reporting_port), timeout=60) as stalled:
        stalled.sendall(b"GET /v1/export HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in stalled.recv(100)
        deadline = time.monotonic() + 60
        while "took nothing of its answer" not in strict.log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert not _rest(stalled).endswith(b"0\r\n\r\n")
