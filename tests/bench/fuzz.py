"""Coverage-guided fuzzing of what reads bytes from outside: `python -m tests.bench.fuzz`.

Each target is fuzzed with atheris (libFuzzer) in a process of its own for some seconds: it may
raise our own errors and nothing else, and what it accepts must hold what it promises. Needs
atheris, which no test depends on: `pip install atheris`. Exit 0 only when nothing was found.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
_EVENT = (
    b'{"contract_id":"0","event":"TRANSCRIBER_DONE","session_id":"a","time_stamp":'
    b'"2026-10-01T00:00:00.5Z","event_specific_data":{"total_received_duration":2.5,"job_config":'
    b'{"type":"transcription","transcription_config":{"language":"en"}}}}'
)


def _events() -> tuple[Callable[[bytes], None], list[bytes]]:
    from usage_collector import events

    def run(data: bytes) -> None:
        for event in events.parse(data):
            assert isinstance(json.loads(event.raw), dict)
            assert event.raw in data
            assert len(event.transport_id) == 40

    return run, [_EVENT, b"[" + _EVENT + b", {}]", b"[]"]


def _cloud_events() -> tuple[Callable[[bytes], None], list[bytes]]:
    from usage_collector import events

    def run(data: bytes) -> None:
        for event in events.parse_cloud(data):
            assert event.origin
            assert event.raw in data
            assert events.read(event.raw) == event

    head = b'{"specversion":"1.0","id":"1","source":"/a","type":"b","data'
    return run, [head + b'":' + _EVENT + b"}", head + b'_base64":"e30="}']


def _bodies() -> tuple[Callable[[bytes], None], list[bytes]]:
    import gzip

    import zstandard

    from usage_collector.web import bodies

    def run(data: bytes) -> None:
        inflate = bodies._gunzip if data[:1] != b"\x28" else bodies._unzstd
        assert len(inflate(data)) <= bodies.MAX_BYTES

    packer = zstandard.ZstdCompressor(write_checksum=True)
    return run, [gzip.compress(_EVENT), packer.compress(_EVENT), packer.compress(bytes(10**6))]


def _windows() -> tuple[Callable[[bytes], None], list[bytes]]:
    from usage_collector.periods import Period, parse_window

    def run(data: bytes) -> None:
        since, _, until = data.decode(errors="replace").partition(",")
        with suppress(_ours()):
            Period.parse(since)
        parse_window(since or None, until or None)

    return run, [b"2026-10-01,2026-10-31T12:00:00.5+02:00", b"2026-10", b",2026-W01-1"]


def _packages() -> tuple[Callable[[bytes], None], list[bytes]]:
    import io

    from tests.collector.made import ledger
    from usage_collector.packages.checking import Check
    from usage_collector.packages.findings import Trust

    def run(data: bytes) -> None:
        Check("usage.json.gz", Trust(), lambda _: None).run(io.BytesIO(data))

    return run, [ledger(3).plain(1, 3)]


TARGETS = {
    "events": _events,
    "cloud": _cloud_events,
    "bodies": _bodies,
    "windows": _windows,
    "packages": _packages,
}


def _ours() -> type[Exception]:
    from usage_collector.errors import UsageError

    return UsageError


def _fuzz(name: str, options: list[str]) -> None:
    """In the child: never returns."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["usage_collector"]):
        run, _ = TARGETS[name]()

    def once(data: bytes) -> None:
        with suppress(_ours()):
            run(data)

    atheris.Setup([sys.argv[0], *options], once)
    atheris.Fuzz()


def _report(name: str, seconds: int, folder: Path) -> bool:
    """Fuzz one target and print its line; whether nothing was found."""
    corpus = folder / name
    corpus.mkdir()
    for number, seed in enumerate(TARGETS[name]()[1]):
        (corpus / f"seed-{number}").write_bytes(seed)
    command = [sys.executable, "-m", "tests.bench.fuzz", "--child", name, "--", str(corpus)]
    options = [f"-max_total_time={seconds}", "-print_final_stats=1", f"-artifact_prefix={folder}/"]
    done = subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    features = re.findall(r"cov: (\d+)", done.stderr)
    result = "nothing found" if done.returncode == 0 else "FAILED"
    number = int(runs[1]) if runs else 0
    print(f"| {name} | {seconds} | {number:,} | {features[-1] if features else '-'} | {result} |")
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-4000:], file=sys.stderr)
    return done.returncode == 0


def main() -> None:
    """Fuzz all targets, or those named, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="for each target")
    parser.add_argument("--target", action="append", choices=list(TARGETS))
    parser.add_argument("--child", choices=list(TARGETS), help=argparse.SUPPRESS)
    parser.add_argument("options", nargs="*", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        _fuzz(chosen.child, chosen.options)
    print("| target | seconds | inputs | coverage | |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        names = chosen.target or list(TARGETS)
        well = [_report(name, chosen.seconds, Path(folder)) for name in names]
    sys.exit(0 if all(well) else 1)


if __name__ == "__main__":
    main()
