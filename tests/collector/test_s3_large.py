"""Files too large for one request to a bucket: sent in parts, and what happens on the way."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.collector.places import KEYS, Gateway
from usage_collector.errors import DeliveryFailed
from usage_collector.targets import Parcel, destination

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(600)

SIZE = 66 * 1024 * 1024
"""A little above what one request may take."""


def unchanged(_: int, data: bytes) -> bytes:
    """Nothing happens on the way."""
    return data


class Wire:
    """The way to a server, where bytes may change or somebody may act when they pass."""

    def __init__(self, address: str) -> None:
        self._to = address.rpartition(":")[::2]
        self._passed = {"up": 0, "down": 0}
        self._lock = threading.Lock()
        self.up: Callable[[int, bytes], bytes] = unchanged
        self.down: Callable[[int, bytes], bytes] = unchanged

    def reset(self) -> None:
        """Counts anew, and changes nothing any more."""
        self._passed = {"up": 0, "down": 0}
        self.up = self.down = unchanged

    def serve(self, listener: socket.socket) -> None:
        """Until the listener is closed."""
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection((self._to[0], int(self._to[1])))
            except OSError:
                client.close()
                continue
            for way, source, sink in (("up", client, server), ("down", server, client)):
                threading.Thread(target=self._pump, args=(way, source, sink), daemon=True).start()

    def _pump(self, way: str, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    before = self._passed[way]
                    self._passed[way] += len(data)
                    data = (self.up if way == "up" else self.down)(before, data)
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def wire(address: str) -> Iterator[tuple[Wire, str]]:
    """A way to that server, and the address of its beginning."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Wire(address)
        threading.Thread(target=made.serve, args=(listener,), daemon=True).start()
        yield made, f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def flipped(at: int) -> Callable[[int, bytes], bytes]:
    """One bit is another, that many bytes on the way."""

    def change(before: int, data: bytes) -> bytes:
        if not before <= at < before + len(data):
            return data
        place = at - before
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    return change


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """An S3 server with the bucket `months`."""
    (tmp_path / "s3/months").mkdir(parents=True)
    made = Gateway(tmp_path / "s3")
    made.start()
    yield made
    made.kill()


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A package that goes in parts."""
    path = tmp_path / "a.json.gz"
    path.write_bytes(os.urandom(SIZE))
    return path


def objects(tmp_path: Path) -> dict[str, str]:
    """The SHA-256 of all that people see in the bucket."""
    there = tmp_path / "s3/months/usage"
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in there.rglob("*")
        if path.is_file()
    }


def test_a_large_file_arrives_whole_whatever_happened_before(
    tmp_path: Path, gateway: Gateway, large: Path
) -> None:
    """The server dies, then bits change there and back: told each time, no part to be seen."""
    digest = hashlib.sha256(large.read_bytes()).hexdigest()
    parcel = Parcel(folder="2026-10", files=[large])
    with wire(gateway.address) as (way, address):
        place = destination(f"s3://months/usage?endpoint=http://{address}", KEYS)

        def die(before: int, data: bytes) -> bytes:
            if before < SIZE // 2 <= before + len(data):
                gateway.kill()
            return data

        way.up = die
        with pytest.raises(DeliveryFailed, match=r"no answer: .*next run goes on"):
            place.deliver(parcel)
        gateway.start()
        way.reset()
        assert (place.held("2026-10"), objects(tmp_path)) == ({}, {})

        way.up = flipped(SIZE // 2)
        with pytest.raises(
            DeliveryFailed, match=r"SHA256Mismatch.*it changed on the way: run it again"
        ):
            place.deliver(parcel)
        way.reset()
        assert (place.held("2026-10"), objects(tmp_path)) == ({}, {})

        way.down = flipped(SIZE // 2)
        with pytest.raises(DeliveryFailed, match="did not arrive as it was sent, and was removed"):
            place.deliver(parcel)
        way.reset()
        assert objects(tmp_path) == {}

        assert place.deliver(parcel) == ["a.json.gz"]
        assert place.held("2026-10") == objects(tmp_path) == {"a.json.gz": digest}
        assert place.deliver(parcel) == []


_DELIVER = """
import os, sys
from pathlib import Path
from usage_collector.targets import Parcel, destination
destination(sys.argv[1], os.environ).deliver(Parcel(folder="2026-10", files=[Path(sys.argv[2])]))
"""


def test_a_run_that_is_killed_between_the_parts_leaves_nothing_to_be_seen(
    tmp_path: Path, gateway: Gateway, large: Path
) -> None:
    """What was uploaded is no object, and the next run sends the same bytes as if nothing was."""
    digest = hashlib.sha256(large.read_bytes()).hexdigest()
    with wire(gateway.address) as (way, address):
        to = f"s3://months/usage?endpoint=http://{address}"
        passed = threading.Event()

        def tell(before: int, data: bytes) -> bytes:
            if before < SIZE // 2 <= before + len(data):
                passed.set()
            return b"" if passed.is_set() else data

        way.up = tell
        run = subprocess.Popen(
            [sys.executable, "-c", _DELIVER, to, str(large)], env={**os.environ, **KEYS}
        )
        try:
            assert passed.wait(300), "half of it is on its way, and no more comes through"
        finally:
            run.kill()
        assert run.wait() == -signal.SIGKILL
        way.reset()
        place = destination(to, KEYS)
        assert (place.held("2026-10"), objects(tmp_path)) == ({}, {})
        parcel = Parcel(folder="2026-10", files=[large])
        assert place.deliver(parcel) == ["a.json.gz"]
        assert place.held("2026-10") == objects(tmp_path) == {"a.json.gz": digest}
