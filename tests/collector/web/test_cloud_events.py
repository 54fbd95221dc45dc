"""CloudEvents in real collectors: after a crash, in a month over two of them, and very large."""

from __future__ import annotations

import base64
import json
import signal
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.collector.processes import Collector, collectors, command, make_keys
from tests.collector.samples import event

STRUCTURED = {"Content-Type": "application/cloudevents+json"}
BASIC = {"specversion": "1.0", "id": "1", "source": "/engine", "type": "speech.usage"}


def _post(one: Collector, body: bytes, headers: dict[str, str] = STRUCTURED) -> int:
    with httpx.Client(verify=False, trust_env=False) as client:
        url = f"https://{one.target}/v1/events"
        return client.post(url, content=body, headers=headers).status_code


def _both(one: Collector, raw: bytes, **attributes: str) -> list[int]:
    """Sent in binary mode, and again in structured mode."""
    named = {**BASIC, **attributes}
    headers = {"Content-Type": "application/json"} | {f"ce-{n}": v for n, v in named.items()}
    whole = json.dumps({**named, "data": json.loads(raw)}).encode()
    return [_post(one, raw, headers), _post(one, whole)]


def _last(one: Collector) -> int:
    ledgers = httpx.get(f"http://{one.address}/v1/periods").json()["ledgers"]
    return int(sum(entry["last"] for entry in ledgers))


def test_duplicates_are_known_after_a_crash_and_after_a_stop(tmp_path: Path) -> None:
    """What was acknowledged in one mode is a duplicate in the other, whatever happened between."""
    raw = event(1)
    with collectors(tmp_path, 1) as (one,):
        assert _both(one, raw) == [201, 201]
        for how in (signal.SIGKILL, signal.SIGTERM):
            one.stop(how)
            one.start()
            assert _both(one, raw) == [201, 201]
            assert _last(one) == 1
        assert _both(one, raw, id="2") == [201, 201]
        assert _last(one) == 2
        one.stop()
        assert command("check", "--data-dir", one.data).code == 0


def test_a_month_counts_them_once_over_all_collectors(tmp_path: Path) -> None:
    """Jobs sent as CloudEvents to two collectors are billed once; the delivery verifies."""
    month = f"{datetime.now(UTC):%Y-%m}"
    bare = json.dumps({"event": "TRANSCRIBER_DONE", "event_specific_data": _seconds(5)}).encode()
    with collectors(tmp_path, 2) as both:
        for number, one in enumerate(both):
            assert _both(one, event(1, session_id="s", duration=7), id=f"s{number}") == [201, 201]
            time = f"2026-10-01T00:00:0{number}Z"
            assert _both(one, bare, id="none", time=time) == [201, 201]
            assert _post(one, json.dumps({**BASIC, "id": "other"}).encode()) == 201
        result = command(
            "export-month",
            *("--period", month, "--peers", ",".join(one.address for one in both)),
            *("--to", tmp_path / "out", "--json"),
            environment=make_keys(tmp_path),
        )
    assert (result.code, result.facts["events"]) == (0, 6)
    report = command("verify", tmp_path / "out", "--json")
    assert (report.code, report.facts["findings"]) == (0, [])
    assert report.facts["totals"]["count"] == 2
    assert report.facts["totals"]["seconds"] == 12


def _seconds(number: int) -> dict[str, int]:
    return {"total_received_duration": number}


def _packed() -> bytes:
    data = b'{"a":[' + b"[]," * (2**21 - 2**15) + b"1]}"
    return json.dumps({**BASIC, "data_base64": base64.b64encode(data).decode()}).encode()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (STRUCTURED, json.dumps(BASIC).encode()[:-1] + b',"data":[' + b"[]," * 2_700_000 + b"1]}"),
        ({f"ce-{n}": v for n, v in BASIC.items()}, b"[" + b"[]," * 2_700_000 + b"1]"),
        ({f"ce-{n}": v for n, v in BASIC.items()} | {"Content-Type": "a/b"}, b"x" * 8 * 2**20),
        (STRUCTURED, _packed()),
    ],
    ids=["structured", "binary", "no JSON", "base64"],
)
def test_very_large_ones_take_little_memory(
    tmp_path: Path, headers: dict[str, str], body: bytes
) -> None:
    """8 MiB of the smallest values, in whatever mode, take a few times that."""
    with collectors(tmp_path, 1) as (one,):
        assert _post(one, json.dumps({**BASIC, "id": "0"}).encode()) == 201
        assert one.process
        status = f"/proc/{one.process.pid}/status"
        before = _kilobytes(status, "VmRSS")
        assert len(body) <= 8 * 2**20
        assert _post(one, body, headers) == 201
        assert _kilobytes(status, "VmHWM") - before < 9 * 8 * 1024


def _kilobytes(status: str, what: str) -> int:
    lines = Path(status).read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what))
