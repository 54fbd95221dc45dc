"""A real collector in a process of its own, for tests."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

import httpx

from tests.collector.begun import begun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

START_SECONDS = 60
# Each in its turn: drawn anew each time, two might be the same before anybody listens.
_PORTS = itertools.cycle(random.sample(range(20_000, 30_000), 10_000))


def free_port() -> int:
    """A port that nobody listens on, and that no outgoing connection will be given."""
    while True:
        port = next(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class CollectorProcess:
    """`usage-collector serve` on free ports of this host; variables as keyword arguments."""

    def __init__(self, folder: Path, *, wrapper: Sequence[str] = (), **variables: str) -> None:
        self.folder = folder
        self.wrapper = wrapper
        self.patched: dict[str, float] = {}
        self.log = folder.with_name(folder.name + ".log")
        self.ingest_port, self.reporting_port = free_port(), free_port()
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONFAULTHANDLER": "1",
            "EATS_PORT": str(self.ingest_port),
            "PANDAS_PORT": str(self.reporting_port),
            "USAGE_HOST": "127.0.0.1",
            "USAGE_NAME": "collector-0",
            "USAGE_ZONE": "eu-1a",
            "USAGE_DATA_DIR": str(folder),
            "USAGE_RESERVE_MB": "1",
            **variables,
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def ingest_url(self) -> str:
        scheme = "http" if self.environment.get("EATS_SECURE") == "false" else "https"
        return f"{scheme}://127.0.0.1:{self.ingest_port}"

    @property
    def reporting_url(self) -> str:
        scheme = "https" if self.environment.get("PANDAS_SECURE") == "true" else "http"
        return f"{scheme}://127.0.0.1:{self.reporting_port}"

    @property
    def ca_file(self) -> Path:
        return self.folder / "keys" / "tls.crt"

    def patch(self, name: str, value: float) -> Self:
        """Give a constant of a module, by its full name, another value in that process."""
        self.patched[name] = value
        return self

    def there_since(self, ago: float) -> Self:
        """Let it have begun so many seconds ago; to be called before its first start."""
        name, zone = (self.environment[f"USAGE_{which}"] for which in ("NAME", "ZONE"))
        begun(self.folder, name, zone, ago)
        return self

    def start(self) -> Self:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, sys.executable, *self._program(), "serve"],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        self.wait_until_healthy()
        return self

    def _program(self) -> list[str]:
        if not self.patched:
            return ["-m", "usage_collector"]
        lines = [
            f"import {name.rpartition('.')[0]}; {name} = {value!r}"
            for name, value in self.patched.items()
        ]
        return ["-c", "\n".join([*lines, "from usage_collector.cli import main; main()"])]

    def wait_until_healthy(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the collector ended: {self.log.read_text()[-2000:]}")
            try:
                httpx.get(self.reporting_url + "/healthz", verify=self._insecure())
            except httpx.TransportError:
                time.sleep(0.02)
            else:
                return
        self.process.send_signal(signal.SIGABRT)  # faulthandler tells where each thread was
        self.process.wait()
        raise AssertionError(f"no answer in time: {self.log.read_text()[-8000:]}")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_file))

    @staticmethod
    def _insecure() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
