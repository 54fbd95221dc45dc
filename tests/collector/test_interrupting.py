"""Ctrl-C and SIGTERM, really sent: the right exit code, and nothing half done left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.collector.made import KEYS, ledger
from tests.collector.processes import free_port, make_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\x1f\x8b\x08\x00\r\n"


@contextmanager
def hanging() -> Iterator[tuple[str, threading.Event]]:
    """A listener that begins an answer and never ends it; its address, and that it was asked."""
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        open_ones = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                open_ones.append(connection)
                connection.recv(4096)
                connection.sendall(_HEAD)
                asked.set()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}", asked
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for connection in open_ones:
                connection.close()


@contextmanager
def running(*arguments: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The command line in a process of its own, as a terminal starts it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "usage_collector", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], how: signal.Signals = signal.SIGINT) -> tuple[int, str]:
    """Sends the signal; the exit code and what was said, which must come soon."""
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, out + err


def open_files(process: int) -> set[Path]:
    """The files that a process has open."""
    found = set()
    for one in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(one.readlink())
    return found


def test_an_interrupted_export_leaves_no_file(tmp_path: Path) -> None:
    """Not even a hidden part of one."""
    with (
        hanging() as (address, asked),
        running("export", "--from", address, "--out", tmp_path / "x.json.gz") as process,
    ):
        assert asked.wait(60)
        code, said = ended(process)
    assert (code, "Interrupted" in said) == (130, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_month_tells_its_result_at_once(tmp_path: Path, how: signal.Signals) -> None:
    """However long collectors hang: the summary is written, the spool is gone, nothing is sent."""
    spool, out, summary = tmp_path / "tmp", tmp_path / "out", tmp_path / "summary"
    keys = make_keys(tmp_path)
    spool.mkdir()
    with (
        hanging() as (address, asked),
        running(
            *("export-month", "--period", "2026-10", "--peers", f"{address},localhost:1"),
            *("--to", out, "--summary-file", summary),
            **keys,
            TMPDIR=str(spool),
        ) as process,
    ):
        assert asked.wait(60)
        code, _ = ended(process, how)
    assert code == 130
    assert json.loads(summary.read_bytes())["error"] == "interrupted"
    assert list(spool.iterdir()) == []
    assert not out.exists()


def test_an_interrupted_verify_says_so(tmp_path: Path) -> None:
    """It ends while it reads, without a verdict."""
    path = ledger(20_000).save(tmp_path, 1, 20_000, KEYS)
    with running("verify", path, *[path] * 500, "--json") as process:
        while path not in open_files(process.pid):
            assert process.poll() is None
        code, said = ended(process)
    assert code == 130
    assert '"ok"' not in said


def test_an_interrupted_simulation_ends(tmp_path: Path) -> None:
    """At once, and what was acknowledged until then is told and on record."""
    record = tmp_path / "record"
    with (
        hanging() as (address, asked),
        running("simulate", "--to", f"http://{address}", "--quiet", "--record", record) as process,
    ):
        assert asked.wait(60)
        code, said = ended(process)
    assert (code, "0 events acknowledged" in said) == (130, True)
    assert record.read_bytes() == b""


def test_sigterm_stops_a_simulation_after_its_patience() -> None:
    """No new events; what is under way is still tried, then told as not acknowledged."""
    address = f"127.0.0.1:{free_port()}"
    command = ["simulate", "--to", f"http://{address}", "--patience", "1", "--jobs", "1000000"]
    with running(*command) as process:
        assert process.stderr
        assert "retrying" in process.stderr.readline()
        code, said = ended(process, signal.SIGTERM)
    assert code == 1
    assert "NOT acknowledged: 4 given up" in said
    assert "Some activity events could not be sent to EATS: count: 4" in said
