"""kill -9 again and again under load: `python -m tests.bench.soak --kills 1000`.

Senders post arrays, each again and again until it is acknowledged; meanwhile periods are cut,
exported and receipted, small blocks are packed, and what was sent is purged after a second. A
real collector is killed at moments of chance and started again. The ledger is checked as it was
left, and at the end every acknowledged event must have been exported or still be there, once.
Exit 0 only when all is well.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import hashlib
import itertools
import json
import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.collector.process import CollectorProcess
from tests.collector.samples import array, event
from usage_collector.upkeep import check

SENDERS = 4
_CHECK_EVERY = 10
_SPREAD_SECONDS = 0.6
_PAGE = 50_000
_CUT_SECONDS = 2.0
_REPORT_SECONDS = 300.0


@dataclass
class Tally:
    """What the soak has seen; ``problems`` is empty when all is well."""

    kills: int = 0
    acknowledged: int = 0
    stored: int = 0
    cuts: int = 0
    exported: int = 0
    purged: int = 0
    seconds: float = 0
    slowest_start: float = 0
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        """The final line."""
        result = "FAILED: " + "; ".join(self.problems[:5]) if self.problems else "ok"
        return (
            f"soak {result}: {self.kills} kills in {self.seconds:.0f} s, "
            f"{self.acknowledged} events acknowledged, {self.stored} stored, "
            f"{self.exported} of them exported in {self.cuts} cuts, {self.purged} purged, "
            f"slowest start {self.slowest_start:.2f} s"
        )


class Sender(threading.Thread):
    """Posts arrays of events with names of their own until told to stop."""

    def __init__(self, collector: CollectorProcess, number: int) -> None:
        super().__init__(daemon=True)
        self.collector = collector
        self.number = number
        self.acknowledged: list[str] = []
        self.enough = threading.Event()

    def run(self) -> None:
        """Each array is sent in the same bytes until it is answered with 201."""
        with httpx.Client(base_url=self.collector.ingest_url, timeout=5) as client:
            for count in itertools.count():
                names = [f"{self.number}-{count}-{i}" for i in range(1 + count % 20)]
                body = array([event(count, session_id=name) for name in names])
                if not self._deliver(client, body):
                    return
                self.acknowledged += names

    def _deliver(self, client: httpx.Client, body: bytes) -> bool:
        while not self.enough.is_set():
            try:
                if client.post("/v1/log", content=body).status_code == 201:
                    return True
            except httpx.TransportError:
                self.enough.wait(0.01)
        return False


class Reporter(threading.Thread):
    """Cuts one month after the other, exports it, says that it was sent; never the same twice."""

    def __init__(self, collector: CollectorProcess) -> None:
        super().__init__(daemon=True)
        self.collector = collector
        self.exported: collections.Counter[str] = collections.Counter()
        self.cuts = 0
        self.enough = threading.Event()
        self.reported = threading.Event()

    def run(self) -> None:
        """Each step is repeated until it is answered, as the monthly job does."""
        for year, month in itertools.product(range(2001, 2026), range(1, 13)):
            path = f"/v1/periods/{year}-{month:02}"
            cut = self._ask("POST", path)
            if cut is None:
                return
            packages = []
            for file in cut.json()["files"]:
                query = {name: file[name] for name in ("ledger", "first", "last")}
                answer = self._ask("GET", "/v1/export", params=query | {"period": path[-7:]})
                if answer is None:
                    return
                packages.append(answer)
            receipt = {"state": "sent", "by": "soak", "files": [_file(one) for one in packages]}
            if self._ask("POST", path + "/receipts", json=receipt) is None:
                return
            for package in packages:
                self.exported.update(_names(package))
            self.cuts += 1
            self.reported.set()
            self.enough.wait(_CUT_SECONDS)

    def _ask(self, method: str, path: str, **given: Any) -> httpx.Response | None:
        while not self.enough.is_set():
            try:
                answer = httpx.request(
                    method, self.collector.reporting_url + path, timeout=10, **given
                )
                if answer.is_success:
                    return answer
            except httpx.TransportError:
                self.enough.wait(0.01)
        return None


def _file(answer: httpx.Response) -> dict[str, str]:
    name = answer.headers["Content-Disposition"].split('"')[1]
    return {"name": name, "sha256": hashlib.sha256(answer.content).hexdigest()}


def _names(answer: httpx.Response) -> list[str]:
    payload = json.loads(gzip.decompress(answer.content))["payload"]
    return [one["session_id"] for one in payload["events"]]


def stored(collector: CollectorProcess) -> collections.Counter[str]:
    """How often each named event is in the ledgers, by exporting them."""
    found: collections.Counter[str] = collections.Counter()
    with httpx.Client(base_url=collector.reporting_url, timeout=60) as client:
        for ledger in client.get("/v1/periods").json()["ledgers"]:
            for first in range(ledger["first"], ledger["last"] + 1, _PAGE):
                last = min(first + _PAGE - 1, ledger["last"])
                query = {"ledger": ledger["id"], "first": first, "last": last}
                found.update(_names(client.get("/v1/export", params=query).raise_for_status()))
    return found


def _purging_soon(folder: Path) -> CollectorProcess:
    """A collector for which a day or an hour is a second, and that trusts its clock at once."""
    collector = CollectorProcess(folder, EATS_SECURE="false", USAGE_RETENTION_DAYS="1")
    collector.patch("usage_collector.web.serving.PURGE_SECONDS", 0.1)
    collector.patch("usage_collector.upkeep.clock.START_WAIT", 0.0)
    collector.patch("usage_collector.upkeep.purging.DAY_US", 10**6)
    # A cut that rests while events come in, and they always do here, outlives no process.
    collector.patch("usage_collector.ledger.pacing.LONGEST", 0)
    collector.patch("usage_collector.ledger.sealing.HOUR_US", 10**6)
    return collector.patch("usage_collector.upkeep.purging.IDENTITY_DAYS", 30)


def soak(folder: Path, kills: int, chance: random.Random) -> Tally:
    """Kill the collector that many times; what came of it."""
    tally = Tally()
    began = time.monotonic()
    with _purging_soon(folder / "data") as collector:
        senders = [Sender(collector, number) for number in range(SENDERS)]
        reporter = Reporter(collector)
        threads: list[Sender | Reporter] = [*senders, reporter]
        for thread in threads:
            thread.start()
        while tally.kills < kills and not tally.problems:
            # The moment itself is what is tested, so it is chance, not an event waited for.
            time.sleep(chance.random() * _SPREAD_SECONDS)
            collector.kill()
            tally.kills += 1
            if tally.kills % _CHECK_EVERY == 0 or tally.kills == kills:
                report = check(folder / "data", lambda *_: None)
                tally.problems += [finding.what for finding in report.findings]
            started = time.monotonic()
            collector.start()
            tally.slowest_start = max(tally.slowest_start, time.monotonic() - started)
            tally.acknowledged = sum(len(sender.acknowledged) for sender in senders)
            _progress(tally, kills, began)
        # The last process is left alone until at least one month is out: not all were so fast.
        reporter.reported.wait(_REPORT_SECONDS)
        for thread in threads:
            thread.enough.set()
        for thread in threads:
            thread.join()
        _judge(tally, [name for sender in senders for name in sender.acknowledged], reporter)
    tally.seconds = time.monotonic() - began
    return tally


def _judge(tally: Tally, acknowledged: list[str], reporter: Reporter) -> None:
    collector = reporter.collector
    if (code := collector.stop()) != 0:
        tally.problems.append(f"the last end had exit code {code}")
    # Nothing may go while it is counted.
    collector.patch("usage_collector.web.serving.PURGE_SECONDS", 86_400.0).start()
    with httpx.Client(base_url=collector.reporting_url, timeout=60) as client:
        told = client.get("/v1/periods").json()
    tally.cuts, tally.exported = reporter.cuts, reporter.exported.total()
    tally.purged = sum(ledger["first"] - 1 for ledger in told["ledgers"])
    kept = stored(collector)
    found = collections.Counter(list(reporter.exported | kept))
    tally.acknowledged, tally.stored = len(acknowledged), found.total()
    lost = set(acknowledged) - set(found)
    if lost:
        tally.problems.append(f"{len(lost)} acknowledged events lost, such as {min(lost)}")
    for where, names in (("stored", kept), ("exported", reporter.exported)):
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            tally.problems.append(f"{len(twice)} events {where} twice, such as {min(twice)}")
    if tally.stored != max(ledger["last"] for ledger in told["ledgers"]):
        tally.problems.append(f"positions: {told['ledgers']}")


def _progress(tally: Tally, kills: int, began: float) -> None:
    spent = time.monotonic() - began
    left = spent / tally.kills * (kills - tally.kills)
    end = "\r" if sys.stderr.isatty() else "\n"
    if sys.stderr.isatty() or tally.kills % 25 == 0:
        text = (
            f"{tally.kills}/{kills} kills, {tally.acknowledged} acknowledged, {left:.0f} s left  "
        )
        print(text, end=end, file=sys.stderr, flush=True)


def main() -> None:
    """Soak, and say in one line what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument(
        "--seed", type=int, default=None, help="of the moments; printed when left out"
    )
    chosen = parser.parse_args()
    seed = chosen.seed if chosen.seed is not None else random.randrange(10**6)
    print(f"soak with --seed {seed}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        tally = soak(Path(folder), chosen.kills, random.Random(seed))
    print(tally.line())
    sys.exit(1 if tally.problems else 0)


if __name__ == "__main__":
    main()
