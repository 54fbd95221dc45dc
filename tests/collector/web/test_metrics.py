"""What the metrics say of events that wait to be sent."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.collector.samples import event
from usage_collector import events, export
from usage_collector.ledger import Ledgers, Limits, ReceiptFile
from usage_collector.periods import Period
from usage_collector.web.metrics import Metrics

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

DAY = 86_400


def _value(text: bytes, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", text.decode(), re.MULTILINE)
    assert found
    return float(found[1])


def test_what_is_not_sent_falls_due_at_the_end_of_its_retention(tmp_path: Path) -> None:
    """Ten days before the end the time left is ten days; when all is sent nothing falls due."""
    now = time.time_ns() // 1000
    received = now - 80 * DAY * 10**6
    ledgers = Ledgers(tmp_path, "c", "z", lambda: received)
    metrics = Metrics("1", "c", "z", retention_days=90)
    assert _value(metrics.text(ledgers), "usage_purge_due_seconds") == float("inf")
    ledgers.writer.append_and_wait(events.parse(event()))
    text = metrics.text(ledgers)
    assert abs(_value(text, "usage_purge_due_seconds") - 10 * DAY) < 60
    assert abs(_value(text, "usage_oldest_unreceipted_seconds") - 80 * DAY) < 60
    period = Period.of(datetime.now(UTC))
    export.cut(ledgers, period, Limits(18, 10, 10), now)
    name = f"usage-c-{ledgers.live[:8]}-1-1.json.gz"
    sent = [ReceiptFile(name, hashlib.sha256(b"").hexdigest())]
    export.receive(ledgers, period, "sent", "me", sent, now)
    text = metrics.text(ledgers)
    assert _value(text, "usage_purge_due_seconds") == float("inf")
    assert _value(text, "usage_oldest_unreceipted_seconds") == 0
    ledgers.close()


def test_no_scrape_lacks_what_another_begins_anew(tmp_path: Path) -> None:
    """Two that come at once are answered one after the other, each with all days."""
    ledgers = Ledgers(tmp_path, "c", "z", lambda: time.time_ns() // 1000)
    metrics = Metrics("1", "c", "z", retention_days=90)
    line = {"zone": "z", "coverage": 1.0, "silent_sessions": 0, "early_events": 0, "problems": []}
    second = threading.Event()
    overlapped: list[bool] = []
    others: list[Future[bytes]] = []

    def days() -> dict[str, list[dict[str, Any]]]:
        if others:
            second.set()
        else:
            others.append(pool.submit(metrics.text, ledgers))
            overlapped.append(second.wait(0.5))
        return {"today": [line]}

    names = ("uncounted", "missing", "early", "alerts", "heard", "lost")
    figures = dict.fromkeys(names, lambda: 0.0)
    metrics.watch_usage(figures, dict, days)
    with ThreadPoolExecutor(1) as pool:
        texts = [metrics.text(ledgers), *(one.result() for one in others)]
    assert overlapped == [False]
    assert [text.count(b"\nusage_day_coverage{") for text in texts] == [1, 1]
    ledgers.close()
