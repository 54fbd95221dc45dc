"""The servers that are compared, each started on one core: ours, PostgreSQL's front, and no-ops."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.collector.process import CollectorProcess, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_POSTGRES = "/usr/lib/postgresql/15/bin"
_START_SECONDS = 20
_SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{folder}'
fsync = on
synchronous_commit = on
full_page_writes = on
shared_buffers = 512MB
wal_level = minimal
max_wal_senders = 0
max_wal_size = 4GB
"""
_NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}/body; client_body_buffer_size 1m;
  proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
  scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {keys}/tls.crt; ssl_certificate_key {keys}/tls.key;
    location / {{ return 201; }}
  }}
}}
"""


@dataclass(frozen=True)
class Server:
    """Where a server listens, and the processes from which all of its own descend."""

    url: str
    roots: tuple[int, ...]

    def cpu_seconds(self) -> float:
        """What its processes have used so far."""
        ticks, parents = {}, {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                fields = stat.read_text().rsplit(")", 1)[1].split()
                pid = int(stat.parent.name)
                parents[pid], ticks[pid] = int(fields[1]), int(fields[11]) + int(fields[12])
        mine = {pid for pid in ticks if pid in self.roots or parents[pid] in self.roots}
        return sum(ticks[pid] for pid in mine) / os.sysconf("SC_CLK_TCK")

    @property
    def rss_mb(self) -> float:
        """The most memory that its first process ever had."""
        status = Path(f"/proc/{self.roots[0]}/status").read_text()
        match = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(match[1]) / 1024 if match else 0.0


class Missing(SystemExit):
    """A program that is needed is not installed; ends the benchmark with its message."""


def needed(program: str, package: str) -> str:
    """Where that program is."""
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:{_POSTGRES}")
    if found is None:
        raise Missing(f"{program} is not installed (Debian: apt-get install {package})")
    return found


@contextmanager
def ours(folder: Path, core: int) -> Iterator[tuple[Server, CollectorProcess]]:
    """The collector as it is shipped, on that core, in ``folder``/data."""
    with CollectorProcess(folder / "data", wrapper=_pinned(core)) as collector:
        assert collector.process is not None
        yield Server(collector.ingest_url, (collector.process.pid,)), collector
        collector.stop()


@contextmanager
def postgres(folder: Path, keys: Path, core: int) -> Iterator[Server]:
    """The same front over PostgreSQL 15, both on that core."""
    program, initdb = (needed(name, "postgresql-15") for name in ("postgres", "initdb"))
    folder.mkdir(mode=0o755)
    user = pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else None
    if user is not None:
        os.chown(folder, user, -1)
    data = folder / "data"
    subprocess.run(
        [initdb, "-D", data, "-A", "trust", "-U", "postgres", "-N"],
        check=True, capture_output=True, user=user, cwd=folder,
    )  # fmt: skip
    with (data / "postgresql.conf").open("a") as config:
        config.write(_SETTINGS.format(folder=folder))
    command = [*_pinned(core), program, "-D", str(data)]
    with ExitStack() as stack:
        root = stack.enter_context(_running(command, signal.SIGINT, user, folder))
        _wait(lambda: (folder / ".s.PGSQL.5432").exists(), "PostgreSQL")
        front = stack.enter_context(_front(keys, core, "postgres", str(folder)))
        yield Server(front.url, (*front.roots, root))


@contextmanager
def noop(folder: Path, keys: Path, core: int) -> Iterator[Server]:
    """aiohttp with uvloop and TLS that does nothing."""
    folder.mkdir()
    with _front(keys, core, "noop") as front:
        yield front


@contextmanager
def nginx(folder: Path, keys: Path, core: int) -> Iterator[Server]:
    """nginx with TLS that does nothing."""
    program = needed("nginx", "nginx-light")
    folder.mkdir()
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, keys=keys, port=port))
    command = [*_pinned(core), program, "-c", str(config), "-e", "stderr"]
    with _running(command, signal.SIGTERM) as root:
        _wait(lambda: _answers(port), "nginx")
        yield Server(f"https://127.0.0.1:{port}", (root,))


def _pinned(core: int) -> list[str]:
    return ["taskset", "-c", str(core)]


@contextmanager
def _front(keys: Path, core: int, what: str, *more: str) -> Iterator[Server]:
    port = free_port()
    program = [sys.executable, "-m", "tests.bench.fronts", what, str(port), str(keys), *more]
    with _running([*_pinned(core), *program], signal.SIGTERM) as root:
        _wait(lambda: _answers(port), what)
        yield Server(f"https://127.0.0.1:{port}", (root,))


@contextmanager
def _running(
    command: Sequence[str], end: signal.Signals, user: int | None = None, folder: Path | None = None
) -> Iterator[int]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, user=user, cwd=folder, stdout=quiet, stderr=quiet)
    try:
        yield process.pid
    finally:
        process.send_signal(end)
        process.wait(_START_SECONDS)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise Missing(f"{what} did not start")
        time.sleep(0.05)
