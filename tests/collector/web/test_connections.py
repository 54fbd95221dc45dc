"""Too many connections: those that nobody uses make room for those that somebody does."""

from __future__ import annotations

import contextlib
import resource
import socket
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collector.process import CollectorProcess
from tests.collector.samples import event
from usage_collector.web.connections import longest_idle

if TYPE_CHECKING:
    from pathlib import Path

_MOST, _OPENED = 40, 120


@dataclass(frozen=True)
class _Connection:
    used: int
    idle: bool
    transport: object


@settings(deadline=None)
@given(
    st.lists(
        st.builds(_Connection, st.integers(0, 99), st.booleans(), st.sampled_from([None, ""])),
        max_size=200,
    ),
    st.integers(1, 100),
)
def test_only_idle_ones_go_and_the_longest_idle_first(found: list[_Connection], most: int) -> None:
    """As many as are too many, if there are so many, and never one with a request under way."""
    there = [one for one in found if one.transport is not None]
    gone = longest_idle(found, most)
    assert all(one.idle and one.transport is not None for one in gone)
    assert bool(gone) == (len(there) > most and any(one.idle for one in there))
    kept = sorted(one.used for one in there if one.idle)[len(gone) :]
    assert not gone or max(one.used for one in gone) <= min(kept, default=100)
    assert len(there) - len(gone) <= max(most, sum(not one.idle for one in there))


def test_connections_leave_files_for_the_ledgers(tmp_path: Path) -> None:
    """A usual soft limit of open files is raised as far as the hard one allows, within reason."""
    few = ["bash", "-c", 'ulimit -Sn 256 && exec "$@"', "bash"]
    with CollectorProcess(tmp_path / "data", wrapper=few) as collector:
        assert collector.process is not None
        soft, hard = resource.prlimit(collector.process.pid, resource.RLIMIT_NOFILE)
    assert soft == (65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536))


def _is_closed(client: socket.socket) -> bool:
    client.settimeout(60)
    with contextlib.suppress(ConnectionError):
        return client.recv(1) == b""
    return True


@pytest.mark.parametrize("secure", ["false", "true"])
def test_a_crowd_of_idle_clients_takes_nobody_s_place(tmp_path: Path, secure: str) -> None:
    """However many come and say nothing, who posts again and again stays and newcomers get in."""
    collector = CollectorProcess(tmp_path / "data", EATS_SECURE=secure)
    with (
        collector.patch("usage_collector.web.connections.MAX_CONNECTIONS", _MOST),
        contextlib.ExitStack() as idle,
    ):
        trusted = collector.trusting() if secure == "true" else None
        address = ("127.0.0.1", collector.ingest_port)
        kept = HTTPSConnection(*address, context=trusted) if trusted else HTTPConnection(*address)
        crowd = []
        for number in range(_OPENED):
            client = socket.create_connection(address, timeout=60)
            if trusted:
                client = trusted.wrap_socket(client, server_hostname="127.0.0.1")
            client.sendall(b"POST /v1/log HTTP/1.1\r\nHost: x\r\n")
            crowd.append(idle.enter_context(client))
            if number % 10 == 0:
                kept.request("POST", "/v1/log", event(number))
                with kept.getresponse() as answer:
                    assert (answer.status, answer.read()) == (201, b"")
        verify = trusted if trusted else True
        for _ in range(3):
            url = collector.ingest_url + "/v1/log"
            post = httpx.post(url, content=event(), verify=verify, timeout=60)
            assert post.status_code == 201
        kept.close()
        assert all(map(_is_closed, crowd[: _OPENED - _MOST]))
        assert "more than 40 connections" in collector.log.read_text()
        assert "Traceback" not in collector.log.read_text()
