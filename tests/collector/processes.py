"""Real collectors as processes, and the command line as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from tests.collector.process import free_port as free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_CLI = (sys.executable, "-m", "usage_collector")


def make_keys(folder: Path) -> dict[str, str]:
    """Key files that all collectors of a test share, as environment variables."""
    signing, proof = folder / "hs512.key", folder / "proof.pem"
    if not proof.exists():
        signing.write_bytes(b"k" * 64)
        subprocess.run(
            ["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(proof)], check=True
        )
    return {"USAGE_SIGNING_KEY_FILE": str(signing), "USAGE_PROOF_KEY_FILE": str(proof)}


@dataclass
class Collector:
    """One `serve` process; started and stopped at will, its data stays."""

    name: str
    folder: Path
    environment: dict[str, str]
    ingest: int = field(default_factory=free_port)
    reporting: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self, scheme: str = "http") -> None:
        """Returns once it is ready."""
        log = (self.folder / f"{self.name}.log").open("ab")
        self.process = subprocess.Popen(
            [*_CLI, "serve"],
            stdout=log,
            stderr=log,
            env={
                **os.environ,
                **self.environment,
                "EATS_PORT": str(self.ingest),
                "PANDAS_PORT": str(self.reporting),
                "USAGE_HOST": "127.0.0.1",
                "USAGE_NAME": self.name,
                "USAGE_ZONE": f"zone-{self.name}",
                "USAGE_DATA_DIR": str(self.folder / self.name),
            },
        )
        self._wait(f"{scheme}://{self.address}/readyz")

    def _wait(self, url: str) -> None:
        with httpx.Client(verify=False, trust_env=False) as client:
            while True:
                assert self.process
                if self.process.poll() is not None:
                    raise AssertionError((self.folder / f"{self.name}.log").read_text())
                try:
                    if client.get(url).is_success:
                        return
                except httpx.TransportError:
                    continue

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends the process and waits for it."""
        if self.process:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.folder / self.name

    @property
    def address(self) -> str:
        """Its reporting listener."""
        return f"127.0.0.1:{self.reporting}"

    @property
    def target(self) -> str:
        """Its ingest listener."""
        return f"127.0.0.1:{self.ingest}"


@contextmanager
def collectors(folder: Path, number: int) -> Iterator[list[Collector]]:
    """So many collectors that share their keys."""
    made = [Collector(f"c-{n}", folder, make_keys(folder)) for n in range(number)]
    try:
        for one in made:
            one.start()
        yield made
    finally:
        for one in made:
            one.stop()


@dataclass(frozen=True)
class Result:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def facts(self) -> Any:
        """Its JSON."""
        assert self.out, self.err
        return json.loads(self.out)


def command(
    *arguments: object, environment: dict[str, str] | None = None, timeout: float = 100
) -> Result:
    """Runs `usage-collector` to its end, which must come within so many seconds."""
    done = subprocess.run(
        [*_CLI, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
        timeout=timeout,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def simulate(to: Sequence[Collector], *arguments: object) -> Result:
    """Sends made-up events to these collectors in turn."""
    targets = [word for one in to for word in ("--to", one.target)]
    return command("simulate", *targets, "--insecure", "--quiet", "--json", *arguments)
