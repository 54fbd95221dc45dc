"""Ingest while a collector answers for a month: `python -m tests.bench.pacing [--events N]`.

One collector that holds a month of events, on one core, takes arrays of events as fast as it can:
alone, while it cuts the month, while its packages are fetched, and while its sessions are; who
fetches throws away what comes. What is done beside takes turns with ingest alone, so that whatever
else the machine does disturbs all alike. Medians, and their ratio to ingest alone, by time and by
the collector's CPU.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.bench import figures, load, servers
from tests.bench.load import Load, Result
from tests.bench.month import fill
from usage_collector.periods import Period

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.servers import Server

_ROUNDS = 4
_SECONDS = 2
_SERVER, _CLIENT = 0, 1


@dataclass
class Beside:
    """What is done beside ingest, and what came of it: of each round, and events a second."""

    what: str
    act: Callable[[threading.Event], int]
    rounds: list[Result] = field(default_factory=list)
    alone: list[Result] = field(default_factory=list)
    speed: float = 0.0

    def run(self, one_round: Callable[[], Result]) -> None:
        """Does it, with rounds of ingest meanwhile, and as many of ingest alone thereafter."""
        over, done = threading.Event(), threading.Event()

        def act() -> None:
            began = time.perf_counter()
            try:
                self.speed = self.act(over) / (time.perf_counter() - began)
            finally:
                done.set()

        thread = threading.Thread(target=act)
        thread.start()
        rounds: list[Result] = []
        while len(rounds) < _ROUNDS and not done.is_set():
            rounds.append(one_round())
        over.set()
        while not done.is_set():
            one_round()
        thread.join()
        self.rounds += rounds
        self.alone += [one_round() for _ in rounds]

    def row(self) -> str:
        """As Markdown."""
        alone, rate = self._medians("rate")
        slow, cpu = self._medians("per_cpu")
        quiet, p99 = self._medians("p99")
        failed = sum(one.failed for one in (*self.rounds, *self.alone))
        return (
            f"| {self.what} | {self.speed:,.0f} | {alone:,.0f} | {rate:,.0f} | {rate / alone:.2f} "
            f"| {cpu / slow:.2f} | {quiet:.0f}/{p99:.0f}{f' {failed} FAILED' if failed else ''} |"
        )

    def _medians(self, what: str) -> list[float]:
        """Of ingest alone and meanwhile."""
        every = (self.alone, self.rounds)
        return [statistics.median(getattr(one, what) for one in rounds) for rounds in every]


@dataclass(frozen=True)
class Month:
    """What the monthly job asks of one collector."""

    client: httpx.Client
    path: str
    number: int

    def cut(self, _: threading.Event) -> int:
        """All of it, once."""
        self._cut()
        return self.number

    def packages(self, over: threading.Event) -> int:
        """One package after the other until it is over; the events in them."""
        taken = 0
        for file in self._cut()["files"] * 1000:
            query = f"ledger={file['ledger']}&first={file['first']}&last={file['last']}"
            self._fetch(f"/v1/export?{query}")
            taken += file["count"]
            if over.is_set():
                break
        return taken

    def sessions(self, _: threading.Event) -> int:
        """All of them."""
        self._fetch(f"{self.path}/sessions")
        return self.number

    def _cut(self) -> Any:
        return self.client.post(self.path).raise_for_status().json()

    def _fetch(self, url: str) -> None:
        with self.client.stream("GET", url) as answer:
            answer.raise_for_status()
            for _ in answer.iter_raw():
                pass


def measure(folder: Path, number: int, size: int) -> list[Beside]:
    """Fills a collector, and asks it for its month."""
    fill(folder, "data", number, 1)
    loads = Load(size, "ordered", 64)
    with (
        servers.ours(folder, _SERVER) as (server, collector),
        httpx.Client(base_url=collector.reporting_url, timeout=3600, trust_env=False) as client,
    ):
        month = Month(client, f"/v1/periods/{Period.of(datetime.now(UTC))}", number)
        kinds = [
            Beside("the cut", month.cut),
            Beside("packages", month.packages),
            Beside("sessions", month.sessions),
        ]
        run = partial(_round, server, loads, folder, iter(range(1, 10**6)))
        run()
        for kind in kinds:
            kind.run(run)
    return kinds


def _round(server: Server, of: Load, folder: Path, numbers: Any) -> Result:
    return load.run(server, of, _SECONDS, next(numbers), folder, _CLIENT)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="held (default: 200,000)")
    parser.add_argument("--size", type=int, default=100, help="events a request (default: 100)")
    parser.add_argument("--save", action="store_true", help="write the table to RESULTS.md")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        kinds = measure(Path(folder), asked.events, asked.size)
    text = "| beside ingest | its events/s | ingest alone, events/s | meanwhile | ratio "
    text += "| by CPU | p99 ms alone/meanwhile |\n|---|---|---|---|---|---|---|\n"
    text += "".join(kind.row() + "\n" for kind in kinds)
    print(text)
    if asked.save:
        figures.save("pacing", f"pacing --events {asked.events} --size {asked.size}", text)


if __name__ == "__main__":
    main()
