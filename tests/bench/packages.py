"""How fast packages are written and verified, and in how much memory.

`python -m tests.bench.packages [EVENTS]`: one package of that many events (1,000,000 by default),
written signed and compressed, read back, and verified with its totals; each in a process of its
own, so that its memory is its own.
"""

from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.collector.made import KEYS
from usage_collector.packages import (
    Chain,
    Contents,
    Package,
    Trust,
    genesis,
    gzipped,
    link,
    verify,
    write,
)
from usage_collector.packages.contents import Marks, marks_between
from usage_collector.simulate import Plan, timeline

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEDGER = "0b6f1c9e-5d0e-4c1b-9d5e-2f6a3e1b7c11"
_DAY = 86_400_000_000


def _events(number: int) -> Iterator[bytes]:
    plan = Plan(jobs=number, sessions=number // 10, start=20_000 * _DAY, span=30 * _DAY)
    for _, told in zip(range(number), timeline(plan, Random(1)), strict=False):
        yield told.raw


def _store(path: Path, number: int) -> None:
    """The events as a file of lines with their chain beside it, as a ledger would hold them."""
    head, marks = genesis(_LEDGER), bytearray()
    wanted = marks_between(1, number)
    with path.open("wb") as file:
        for position, raw in enumerate(_events(number), 1):
            file.write(raw + b"\n")
            head = link(head, hashlib.sha256(raw).digest())
            if position in wanted:
                marks += head
    path.with_suffix(".chain").write_bytes(head + marks)


def _write(path: Path, number: int) -> None:
    chain = path.with_suffix(".chain").read_bytes()
    with path.open("rb") as lines, path.with_suffix(".json.gz").open("wb") as out:
        contents = Contents(
            "bench", "z", _LEDGER, "2026-10", None, None, number,
            Chain(1, number, genesis(_LEDGER), chain[:32], Marks(chain[32:])), None,
        )  # fmt: skip
        for piece in gzipped(write(contents, (line[:-1] for line in lines), KEYS)):
            out.write(piece)


def _gzip(path: Path, number: int) -> None:
    """What others would do, to compare with: Python's gzip at its level 6, and no signature."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    with path.open("rb") as plain, path.with_suffix(".plain.gz").open("wb") as out:
        while chunk := plain.read(256 * 1024):
            out.write(packer.compress(chunk))
        out.write(packer.flush())


def _read(path: Path, number: int) -> None:
    with path.with_suffix(".json.gz").open("rb") as file:
        package = Package(file, {KEYS.signing_kid: KEYS.signing})
        assert sum(1 for _ in package.events()) == number
        assert package.close().secret_ok


def _verify(path: Path, number: int) -> None:
    trust = Trust({KEYS.signing_kid: KEYS.signing}, {KEYS.proof_kid: KEYS.public})
    report = verify([path.with_suffix(".json.gz")], trust)
    assert report.ok
    assert report.events == number


_STEPS = {"store": _store, "gzip": _gzip, "write": _write, "read": _read, "verify": _verify}


def say(text: str) -> None:
    """A line of the result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _step(name: str, path: Path, number: int) -> None:
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, busy = time.perf_counter(), time.process_time()
    _STEPS[name](path, number)
    took, busy = time.perf_counter() - began, time.process_time() - busy
    above = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) / 1024
    say(
        f"{name:7} {number / took:9,.0f} events/s  {number / busy:9,.0f} per CPU second  "
        f"{above:6.0f} MB above idle"
    )


def main() -> None:
    """Runs every step in a process of its own."""
    if len(sys.argv) == 4:
        _step(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
        return
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events"
        for name in _STEPS:
            subprocess.run(
                [sys.executable, "-m", "tests.bench.packages", name, str(path), str(number)],
                check=True,
            )
        packed, plain = (one.stat().st_size for one in (path.with_suffix(".json.gz"), path))
        say(f"size    {packed / number:9.1f} bytes an event, {plain / number:.0f} as received")


if __name__ == "__main__":
    main()
