"""How fast a collector takes events: `python -m tests.bench.ingest` (needs wrk).

A real process with TLS and the access log on, 64 connections that stay open. Beside events a
second there are events a second of the collector's own CPU, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.collector.process import CollectorProcess

_EVENT = (
    '{"container_id":"%012x","contract_id":"0","customer_id":"Acme",'
    '"engine_instance_id":"930ab901-c408-457d-9f6d-%012x","event":"TRANSCRIBER_DONE",'
    '"session_id":"a29bd398-5745-43ca-%04x-%012x","source":"uniasr-batch",'
    '"time_stamp":"2026-%02d-%02dT%02d:%02d:%02d.%03dZ","event_specific_data":'
    '{"bit_rate":"512000","channels":2,"codec_name":"pcm_s16le","file_metadata":{},'
    '"format_name":"wav","inference":"cpu","job_config":{"transcription_config":'
    '{"language":"en","operating_point":"enhanced"},"type":"transcription"},'
    '"license_id":"b6616911c59c40cbbb32ebf442696a14","rtf":%.3f,"sample_rate":"16000",'
    '"total_received_bytes":%d,"total_received_duration":%.2f,"total_speech_duration":%.2f}}'
)
_SCRIPT = """
local threads = 0
function setup(thread) thread:set("id", threads); threads = threads + 1 end
function init() math.randomseed(os.time() + id); n = 0 end
local function one()
  n = n + 1
  local r, floor = math.random, math.floor
  return string.format([==[EVENT]==], r(0, 2^40), r(0, 2^40), id, n,
    10, 1 + floor(n / 86400000) % 28, floor(n / 3600000) % 24, floor(n / 60000) % 60,
    floor(n / 1000) % 60, n % 1000,
    r(), r(1, 1000000), r() * 500, r() * 400)
end
function request()
  if SIZE == 1 then return wrk.format("POST", "/v1/log", nil, one()) end
  local all = {}
  for i = 1, SIZE do all[i] = one() end
  return wrk.format("POST", "/v1/log", nil, "[" .. table.concat(all, ",") .. "]")
end
"""


@dataclass(frozen=True)
class Result:
    """One run."""

    size: int
    events: int
    seconds: float
    cpu: float
    latency: str
    failed: int
    rss_mb: float
    bytes_per_event: float

    def row(self) -> str:
        """As a row of a Markdown table."""
        return (
            f"| {self.size} | {self.events / self.seconds:,.0f} | {self.events / self.cpu:,.0f} "
            f"| {self.latency} | {self.rss_mb:.0f} | {self.bytes_per_event:.0f} | {self.failed} |"
        )


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int) -> float:
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(match[1]) / 1024 if match else 0.0


def _last(collector: CollectorProcess) -> int:
    return int(httpx.get(collector.reporting_url + "/v1/periods").json()["ledgers"][-1]["last"])


def run(size: int, seconds: int, connections: int, folder: Path) -> Result:
    """Arrays of that many events (1: single events) for that long."""
    script = folder / f"post-{size}.lua"
    script.write_text(f"SIZE = {size}\n" + _SCRIPT.replace("EVENT", _EVENT))
    with CollectorProcess(folder / f"data-{size}") as collector:
        assert collector.process is not None
        pid = collector.process.pid
        cpu, started = _cpu_seconds(pid), time.monotonic()
        done = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script),
             collector.ingest_url + "/v1/log"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        elapsed, cpu = time.monotonic() - started, _cpu_seconds(pid) - cpu
        events, rss = _last(collector), _rss_mb(pid)
        collector.stop()
    database = next((folder / f"data-{size}").glob("ledgers/*/events.db"))
    latency = "/".join(re.findall(r"(?:50|99)%\s+(\S+)", done.stdout))
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    return Result(
        size, events, elapsed, cpu, latency, int(failed[1]) if failed else 0, rss,
        database.stat().st_size / max(events, 1),
    )  # fmt: skip


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 10, 100])
    chosen = parser.parse_args()
    print("| array | events/s | events/CPU s | p50/p99 | peak RSS MB | bytes/event | failed |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for size in chosen.sizes:
            print(run(size, chosen.seconds, chosen.connections, Path(folder)).row(), flush=True)


if __name__ == "__main__":
    main()
