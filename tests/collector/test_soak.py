"""kill -9 under load: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import collections
import functools
import gzip
import json
import os
import random
import threading
from typing import TYPE_CHECKING

import httpx

from tests.collector.process import CollectorProcess
from tests.collector.samples import array, event
from usage_collector.upkeep import check

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("SOAK_KILLS", "5"))
SENDERS = 4


class _Sender(threading.Thread):
    """Posts events one array after the other, each again and again until it is acknowledged."""

    def __init__(self, collector: CollectorProcess, number: int, more: threading.Condition) -> None:
        super().__init__()
        self.more = more
        self.collector = collector
        self.number = number
        self.acknowledged: list[str] = []
        self.stop = threading.Event()

    def run(self) -> None:
        count = 0
        while not self.stop.is_set():
            with httpx.Client(base_url=self.collector.ingest_url) as client:
                try:
                    while not self.stop.is_set():
                        names = [f"{self.number}-{count}-{i}" for i in range(1 + count % 20)]
                        body = array([event(count, session_id=name) for name in names])
                        if client.post("/v1/log", content=body).status_code == 201:
                            count += 1
                            with self.more:
                                self.acknowledged += names
                                self.more.notify_all()
                except httpx.TransportError:
                    continue


def _total(senders: list[_Sender]) -> int:
    return sum(len(sender.acknowledged) for sender in senders)


def _reached(senders: list[_Sender], target: int) -> bool:
    return _total(senders) >= target


def test_killing_the_collector_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """After every kill the chain holds, and each acknowledged event is stored exactly once."""
    chance = random.Random(7)
    with CollectorProcess(tmp_path / "data", EATS_SECURE="false") as collector:
        more = threading.Condition()
        senders = [_Sender(collector, number, more) for number in range(SENDERS)]
        for sender in senders:
            sender.start()
        for _ in range(KILLS):
            target = _total(senders) + chance.randrange(50, 1500)
            with more:
                assert more.wait_for(functools.partial(_reached, senders, target), timeout=30)
            collector.kill()
            report = check(tmp_path / "data", lambda *_: None)
            assert not report.findings
            collector.start()
        for sender in senders:
            sender.stop.set()
        for sender in senders:
            sender.join()
        ledgers = httpx.get(collector.reporting_url + "/v1/periods").json()["ledgers"]
        assert len(ledgers) == 1, "a kill never costs a ledger"
        answer = httpx.get(
            collector.reporting_url + "/v1/export", params={"first": 1, "last": ledgers[0]["last"]}
        )
        payload = json.loads(gzip.decompress(answer.content))["payload"]
        stored = collections.Counter(one["session_id"] for one in payload["events"])
        acknowledged = [name for sender in senders for name in sender.acknowledged]
        assert len(acknowledged) == len(set(acknowledged))
        assert not set(acknowledged) - set(stored), "acknowledged, but lost"
        assert max(stored.values()) == 1, "stored twice"
        assert collector.stop() == 0
