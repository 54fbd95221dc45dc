"""How many new TLS connections a second: `python -m tests.bench.tls`.

The collector on core 0, clients on core 1 that connect, ask once and close, again and again;
afresh, and with the session of a connection before. One in Python spends half of the time itself,
so the collector is not busy; four of `openssl s_time` keep it so.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import ssl
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.bench import figures, servers

_ASK = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_CLIENTS = 4
_VERSIONS = {"1.3": ssl.TLSVersion.TLSv1_3, "1.2": ssl.TLSVersion.TLSv1_2}


class Result(NamedTuple):
    """Connections a second of time, and of the server's CPU; ``resumed``: how many of them."""

    rate: float
    per_cpu: float
    resumed: float


def measure(server: servers.Server, ca: Path, version: str, resume: bool, seconds: float) -> Result:
    """Connect for that long."""
    context = ssl.create_default_context(cafile=str(ca))
    context.check_hostname = False
    context.minimum_version = context.maximum_version = _VERSIONS[version]
    port = int(server.url.rpartition(":")[2])
    session, count, resumed = None, 0, 0
    busy, began = server.cpu_seconds(), time.monotonic()
    while time.monotonic() - began < seconds:
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            context.wrap_socket(plain, session=session) as connection,
        ):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(_ASK)
            while connection.recv(4096):
                pass
            resumed += bool(connection.session_reused)
            session = connection.session if resume else None
        count += 1
    took, busy = time.monotonic() - began, server.cpu_seconds() - busy
    return Result(count / took, count / max(busy, 0.01), resumed / count)


def crowd(server: servers.Server, version: str, resume: bool, seconds: int) -> Result:
    """Four clients connect at once for that long; `openssl-s_time(1)` writes r where it resumed."""
    command = [
        servers.needed("openssl", "openssl"), "s_time", "-connect", server.url.partition("//")[2],
        "-www", "/healthz", "-time", str(seconds), f"-tls{version.replace('.', '_')}",
        "-reuse" if resume else "-new",
    ]  # fmt: skip
    busy, began = server.cpu_seconds(), time.monotonic()
    clients = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(_CLIENTS)
    ]
    said = [client.communicate()[0] for client in clients]
    took, busy = time.monotonic() - began, server.cpu_seconds() - busy
    made = "".join(mark for text in said for mark in re.findall(r"[r*]{2,}", text))
    return Result(len(made) / took, len(made) / max(busy, 0.01), made.count("r") / len(made))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="of each (default: 3)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    parser.add_argument("--save", action="store_true", help="into RESULTS.md")
    chosen = parser.parse_args()
    found: dict[tuple[int, str, bool], list[Result]] = {}
    with (
        tempfile.TemporaryDirectory() as name,
        servers.ours(Path(name), 0) as (server, collector),
    ):
        os.sched_setaffinity(0, {1})
        for _ in range(chosen.rounds):
            for version in _VERSIONS:
                for resume in (False, True):
                    one = measure(server, collector.ca_file, version, resume, chosen.seconds)
                    found.setdefault((1, version, resume), []).append(one)
                    one = crowd(server, version, resume, round(chosen.seconds))
                    found.setdefault((_CLIENTS, version, resume), []).append(one)
    text = "| clients | TLS | session | connections a second | a second of the server's CPU |"
    text += " resumed |\n"
    text += "|---|---|---|---|---|---|\n"
    for (clients, version, resume), results in sorted(found.items()):
        rate, per_cpu, resumed = (
            statistics.median(column) for column in zip(*results, strict=True)
        )
        how = "resumed" if resume else "new"
        text += (
            f"| {clients} | {version} | {how} | {rate:,.0f} | {per_cpu:,.0f} | {resumed:.0%} |\n"
        )
    print(text)
    if chosen.save:
        figures.save("tls", "tls", text)


if __name__ == "__main__":
    main()
