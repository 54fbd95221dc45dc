"""Load for the benchmarks: wrk with events that differ, in the orders that clients send them in."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.servers import needed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bench.servers import Server

EVENT = (
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
SPANS = {"ordered": 0, "shuffled": 48 * 3_600_000, "random": 90 * 86_400_000}
"""How far the events' times are spread at random, in ms; 0: each a millisecond after the last."""

_SCRIPT = """
local random, floor, form = math.random, math.floor, string.format
function init() math.randomseed(RUN) n = RUN * 2^24 end
local function one()
  n = n + 1
  local ms = SPAN == 0 and n or random(0, SPAN - 1)
  return form([==[EVENT]==], random(0, 2^40), random(0, 2^40), RUN, n,
    1 + floor(ms / 2419200000) % 12, 1 + floor(ms / 86400000) % 28, floor(ms / 3600000) % 24,
    floor(ms / 60000) % 60, floor(ms / 1000) % 60, ms % 1000,
    random(), random(1, 1000000), random() * 500, random() * 400)
end
function request()
  if SIZE == 1 then return wrk.format("POST", "/v1/log", nil, one()) end
  local all = {}
  for i = 1, SIZE do all[i] = one() end
  return wrk.format("POST", "/v1/log", nil, "[" .. table.concat(all, ",") .. "]")
end
"""
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Load:
    """What is sent: arrays of ``size`` events (1: an object), times as in `SPANS`."""

    size: int
    times: str
    connections: int


@dataclass(frozen=True)
class Result:
    """What came of it: events a second of time and of the server's CPU, ms until an answer."""

    rate: float
    per_cpu: float
    p50: float
    p99: float
    failed: int


def run(server: Server, load: Load, seconds: int, number: int, folder: Path, core: int) -> Result:
    """Send as fast as answers come, from one thread on that core; ``number`` tells runs apart."""
    script = folder / "load.lua"
    head = f"SIZE, SPAN, RUN = {load.size}, {SPANS[load.times]}, {number}"
    script.write_text(head + _SCRIPT.replace("EVENT", EVENT))
    busy = server.cpu_seconds()
    done = subprocess.run(
        ["taskset", "-c", str(core), needed("wrk", "wrk"), "-t1", f"-c{load.connections}",
         f"-d{seconds}s", "--timeout", "10s", "--latency", "-s", str(script),
         server.url + "/v1/log"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return read(done, load.size, server.cpu_seconds() - busy)


def read(text: str, size: int, busy: float) -> Result:
    """wrk's report; ``busy`` are the seconds of CPU that the server took."""
    done = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: (.*)", text)
    latency = dict(re.findall(r"(50|99)%\s+([\d.]+[a-z]+)", text))
    return Result(
        rate=float(rate[1]) * size if rate else 0.0,
        per_cpu=int(done[1]) * size / max(busy, 0.01) if done else 0.0,
        p50=_milliseconds(latency["50"]),
        p99=_milliseconds(latency["99"]),
        failed=(int(failed[1]) if failed else 0)
        + sum(map(int, re.findall(r"\d+", errors[1] if errors else ""))),
    )


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)([a-z]+)", text).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS[unit]
