"""Too many connections: those that nobody uses make room for those that somebody does."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import socket
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import uvloop
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collector.process import CollectorProcess
from tests.collector.samples import event
from usage_collector.web.connections import (
    FEW,
    KEPT_FILES,
    MAX_CONNECTIONS,
    Server,
    longest_idle,
    most,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST, _OPENED = 40, 120


@dataclass(frozen=True)
class _Connection:
    used: int
    idle: bool


@settings(deadline=None)
@given(
    st.lists(st.builds(_Connection, st.integers(0, 99), st.booleans()), max_size=200),
    st.integers(1, 100),
)
def test_only_idle_ones_go_and_the_longest_idle_first(there: list[_Connection], most: int) -> None:
    """As many as are too many, if there are so many, and never one with a request under way."""
    gone = longest_idle(there, most)
    assert all(one.idle for one in gone)
    assert bool(gone) == (len(there) > most and any(one.idle for one in there))
    kept = sorted(one.used for one in there if one.idle)[len(gone) :]
    assert not gone or max(one.used for one in gone) <= min(kept, default=100)
    assert len(there) - len(gone) <= max(most, sum(not one.idle for one in there))


@given(st.integers(0, 100_000))
def test_all_listeners_together_leave_files(files: int) -> None:
    """Whatever the limit of open files is, connections to all listeners leave what is kept."""
    bounds = [most(1, files), most(FEW, files), most(FEW, files)]
    assert all(bounds)
    assert sum(bounds) <= max(files - KEPT_FILES, 3)
    assert most(1, resource.RLIM_INFINITY) == most(1, 100_000) == MAX_CONNECTIONS


def _limited(limit: str) -> list[str]:
    return ["bash", "-c", f'ulimit {limit} && exec "$@"', "bash"]


async def _crowded() -> list[dict[str, object]]:
    """What the loop complains of when newcomers find nobody idle who could make room."""
    loop, complaints = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, what: complaints.append(what))
    begun, over = asyncio.Event(), asyncio.Event()

    async def handle(_: web.BaseRequest) -> web.Response:
        begun.set()
        await over.wait()
        return web.Response()

    listening = await loop.create_server(Server(handle, 1), "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    answer, busy = await asyncio.open_connection("127.0.0.1", port)
    busy.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await begun.wait()
    for _ in range(3):
        nothing, newcomer = await asyncio.open_connection("127.0.0.1", port)
        assert await nothing.read() == b""
        newcomer.close()
    over.set()
    assert (await answer.readline()).startswith(b"HTTP/1.1 200")
    busy.close()
    listening.close()
    gc.collect()
    return complaints


def test_who_finds_no_room_is_closed_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has to go as soon as it came leaves no traceback, and who is served is answered."""
    monkeypatch.setattr("usage_collector.web.connections.MAX_CONNECTIONS", 1)
    assert uvloop.run(_crowded()) == []


def test_connections_leave_files_for_the_ledgers(tmp_path: Path) -> None:
    """A usual soft limit of open files is raised as far as the hard one allows, within reason."""
    with CollectorProcess(tmp_path / "data", wrapper=_limited("-Sn 256")) as collector:
        assert collector.process is not None
        soft, hard = resource.prlimit(collector.process.pid, resource.RLIMIT_NOFILE)
    assert soft == (65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536))


def test_a_low_limit_of_files_keeps_nobody_out(tmp_path: Path) -> None:
    """Where a process may have few files, more silent clients than that leave room for events."""
    with (
        CollectorProcess(tmp_path / "data", wrapper=_limited("-n 400")) as collector,
        contextlib.ExitStack() as silent,
    ):
        address = ("127.0.0.1", collector.ingest_port)
        for number in range(500):
            silent.enter_context(socket.create_connection(address, timeout=60))
            if number % 50 == 49:  # who is answered knows that all before it were accepted
                _post(collector, 1)
        assert "Too many open files" not in collector.log.read_text()


def _post(collector: CollectorProcess, times: int) -> None:
    verify = collector.ingest_url.startswith("https") and collector.trusting()
    for _ in range(times):
        url = collector.ingest_url + "/v1/log"
        assert httpx.post(url, content=event(), verify=verify, timeout=60).status_code == 201


def _is_closed(client: socket.socket) -> bool:
    client.settimeout(60)
    with contextlib.suppress(ConnectionError):
        return client.recv(1) == b""
    return True


def _files(collector: CollectorProcess) -> int:
    """How many it has open."""
    assert collector.process is not None
    return len(list(Path(f"/proc/{collector.process.pid}/fd").iterdir()))


def _secured(client: socket.socket, collector: CollectorProcess) -> socket.socket:
    return collector.trusting().wrap_socket(client, server_hostname="127.0.0.1")


def _half_a_request(client: socket.socket, collector: CollectorProcess) -> socket.socket:
    client.sendall(b"POST /v1/log HTTP/1.1\r\nHost: x\r\n")
    return client


def _secured_half_a_request(client: socket.socket, collector: CollectorProcess) -> socket.socket:
    return _half_a_request(_secured(client, collector), collector)


def _silent(client: socket.socket, collector: CollectorProcess) -> socket.socket:
    return client


def _half_a_hello(client: socket.socket, collector: CollectorProcess) -> socket.socket:
    client.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    return client


def _lingering(client: socket.socket, collector: CollectorProcess) -> socket.socket:
    """One that was answered for good, and does not say that it has understood."""
    client = _secured(client, collector)
    client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert client.recv(1000).startswith(b"HTTP/1.1 200")
    return client


@pytest.mark.parametrize(
    ("secure", "behave"),
    [
        ("false", _half_a_request),
        ("true", _secured_half_a_request),
        ("true", _silent),
        ("true", _half_a_hello),
        ("true", _lingering),
    ],
)
def test_a_crowd_of_idle_clients_takes_nobody_s_place(
    tmp_path: Path, secure: str, behave: Callable[..., socket.socket]
) -> None:
    """However many come and say nothing, who posts again and again stays and newcomers get in."""
    collector = CollectorProcess(tmp_path / "data", EATS_SECURE=secure)
    with (
        collector.patch("usage_collector.web.connections.MAX_CONNECTIONS", _MOST),
        contextlib.ExitStack() as idle,
    ):
        address = ("127.0.0.1", collector.ingest_port)
        kept = (
            HTTPSConnection(*address, context=collector.trusting())
            if secure == "true"
            else HTTPConnection(*address)
        )
        crowd = []
        before = _files(collector)
        for number in range(_OPENED):
            client = behave(socket.create_connection(address, timeout=60), collector)
            crowd.append(idle.enter_context(client))
            if number % 10 == 0:
                kept.request("POST", "/v1/log", event(number))
                with kept.getresponse() as answer:
                    assert (answer.status, answer.read()) == (201, b"")
        _post(collector, 3)
        assert _files(collector) < before + _MOST + (_OPENED - _MOST) / 2
        kept.close()
        assert all(map(_is_closed, crowd[: _OPENED - _MOST]))
        assert "more than 40 connections" in collector.log.read_text()
        assert "Traceback" not in collector.log.read_text()


@pytest.mark.parametrize("behave", [_silent, _half_a_hello])
def test_who_does_not_shake_hands_is_not_waited_for(
    tmp_path: Path, behave: Callable[..., socket.socket]
) -> None:
    """A TLS handshake has a time of its own."""
    collector = CollectorProcess(tmp_path / "data")
    with collector.patch("usage_collector.web.connections.HANDSHAKE_SECONDS", 1):
        address = ("127.0.0.1", collector.ingest_port)
        with behave(socket.create_connection(address), collector) as client:
            client.settimeout(40)
            assert client.recv(1) == b""
        _post(collector, 1)


def test_who_goes_before_its_handshake_leaves_its_place(tmp_path: Path) -> None:
    """However many were there one after another, nobody has to make room for those that left."""
    collector = CollectorProcess(tmp_path / "data")
    with collector.patch("usage_collector.web.connections.MAX_CONNECTIONS", _MOST):
        for number in range(_MOST + 20):
            socket.create_connection(("127.0.0.1", collector.ingest_port), timeout=60).close()
            if number % 10 == 9:  # who is answered knows that all before it were seen
                _post(collector, 1)
        assert "more than" not in collector.log.read_text()
