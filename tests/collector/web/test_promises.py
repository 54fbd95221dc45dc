"""Metrics, logs and the end of a process, as they are promised."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest

from tests.collector.process import CollectorProcess
from tests.collector.samples import array, event
from usage_collector.upkeep import check

if TYPE_CHECKING:
    from pathlib import Path

_METRICS = {
    "events by kind and result": 'usage_events_total{kind="done",result="stored"} 1.0',
    "commit latency": "usage_commit_seconds_bucket",
    "batch size": "usage_batch_events_bucket",
    "queue": "usage_waiting_events 0.0",
    "disk used": "usage_disk_used_bytes ",
    "disk free": "usage_disk_free_bytes ",
    "oldest event without a receipt": "usage_oldest_unreceipted_seconds ",
    "due for purging": "usage_purge_due_seconds ",
    "head position": 'usage_head_position{ledger="',
    "ledgers": 'usage_ledgers{state="live"} 1.0',
    "certificate expiry": "usage_certificate_expiry_timestamp_seconds ",
    "corruption": "usage_ledger_damaged 0.0",
    "background check": "usage_checked_events ",
    "clock": "usage_clock_jumps 0.0",
    "requests": 'usage_requests_total{listener="ingest",status="201"} 1.0',
}


def test_every_promised_metric_is_there_with_its_help(tmp_path: Path) -> None:
    """Each has a value and a help text, and none names a customer."""
    with CollectorProcess(tmp_path / "data") as collector:
        url = collector.ingest_url + "/v1/log"
        httpx.post(url, content=event(), verify=collector.trusting()).raise_for_status()
        text = httpx.get(collector.reporting_url + "/metrics").text
    for what, start in _METRICS.items():
        assert any(line.startswith(start) for line in text.splitlines()), what
    expiry = re.search(r"^usage_certificate_expiry\S+ (\S+)$", text, re.MULTILINE)
    assert expiry
    assert float(expiry[1]) > time.time() + 86_400
    names = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    helped = re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE)
    assert names == set(helped)
    assert "Acme" not in text


@pytest.mark.parametrize("form", ["line", "json"])
def test_no_client_text_makes_a_line_of_its_own(tmp_path: Path, form: str) -> None:
    """Line breaks, quotes, escapes and lone bytes in what a client sends stay within their line."""
    forged = "x\x0b\x85\u2028[2026-01-01T00:00:00Z INFO usage_collector.web] forged \x1b[31m\\"
    with CollectorProcess(
        tmp_path / "data", EATS_SECURE="false", USAGE_LOG_FORMAT=form
    ) as collector:
        with httpx.Client(base_url=collector.ingest_url) as client:
            agent = forged.replace("\x0b", "\t").replace("\x1b", "").encode()
            path = "/%0d%0a" + quote(forged)
            assert client.get(path, headers={b"User-Agent": agent}).status_code == 404
            odd = event(session_id=forged, customer_id="Secret & Sons", event=forged)
            assert client.post("/v1/log", content=odd).status_code == 201
            assert client.post("/v1/log", content=odd[:-1]).status_code == 400
        assert collector.stop() == 0
    lines = collector.log.read_text().splitlines()
    assert not any(line.startswith("[2026-01-01T") for line in lines)
    assert not any("\x1b" in line or "Secret" in line for line in lines)
    if form == "json":
        assert {"time", "level", "logger", "message"} <= set(json.loads(lines[-1]))
        assert all(json.loads(line) for line in lines)


def test_an_end_in_the_midst_of_a_cut_leaves_it_whole_or_unmade(tmp_path: Path) -> None:
    """SIGTERM during a long cut: an end in time, no half of a cut, and the next run makes it."""
    with CollectorProcess(tmp_path / "data", EATS_SECURE="false") as collector:
        for start in range(0, 20_000, 1000):
            raws = [event(start + n) for n in range(1000)]
            httpx.post(collector.ingest_url + "/v1/log", content=array(raws)).raise_for_status()
        cut = collector.reporting_url + "/v1/periods/2026-10?megabytes=0.05"

        def ask() -> None:
            with suppress(httpx.TransportError):
                httpx.post(cut, timeout=60)

        asking = threading.Thread(target=ask)
        asking.start()
        assert collector.process is not None
        collector.process.send_signal(signal.SIGTERM)
        assert collector.process.wait(60) == 0
        asking.join()
        assert not check(tmp_path / "data", lambda *_: None).findings
        collector.start()
        made = httpx.post(cut, timeout=60).raise_for_status().json()
        assert made["count"] == 20_000
        ends = [(file["first"], file["last"]) for file in made["files"]]
        assert ends[0][0] == 1
        assert all(one[1] + 1 == two[0] for one, two in pairwise(ends))
