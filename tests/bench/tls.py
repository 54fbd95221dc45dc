"""How many new TLS connections a second: `python -m tests.bench.tls`.

The collector on core 0, one client on core 1 that connects, asks once and closes, again and
again; afresh, and with the session of the connection before.
"""

from __future__ import annotations

import argparse
import os
import socket
import ssl
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.bench import figures, servers

_ASK = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
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


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="of each (default: 3)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    parser.add_argument("--save", action="store_true", help="into RESULTS.md")
    chosen = parser.parse_args()
    found: dict[tuple[str, bool], list[Result]] = {}
    with (
        tempfile.TemporaryDirectory() as name,
        servers.ours(Path(name), 0) as (server, collector),
    ):
        os.sched_setaffinity(0, {1})
        for _ in range(chosen.rounds):
            for version in _VERSIONS:
                for resume in (False, True):
                    one = measure(server, collector.ca_file, version, resume, chosen.seconds)
                    found.setdefault((version, resume), []).append(one)
    text = "| TLS | session | connections a second | a second of the server's CPU | resumed |\n"
    text += "|---|---|---|---|---|\n"
    for (version, resume), results in found.items():
        rate, per_cpu, resumed = (
            statistics.median(column) for column in zip(*results, strict=True)
        )
        how = "resumed" if resume else "new"
        text += f"| {version} | {how} | {rate:,.0f} | {per_cpu:,.0f} | {resumed:.0%} |\n"
    print(text)
    if chosen.save:
        figures.save("tls", "tls", text)


if __name__ == "__main__":
    main()
