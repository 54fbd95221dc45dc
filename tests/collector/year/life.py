"""A year of three real collectors and the real monthly export, on a clock that is set by hand."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from tests.collector.processes import Collector, command, make_keys
from tests.collector.year import story
from tests.collector.year.clock import HandSet
from tests.collector.year.story import DAY, ZONES, Count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.collector.year.story import Sent

_BATCH = 200
_PATIENCE = 1800
"""How long (s) a job may take: a year of 200,000 jobs on a busy machine."""
_YEAR = range(1, 13)
GAPS = [
    (f"{story.YEAR}-{month:02}", ZONES[zone])
    for zone, month in [
        (story.LOST, story.LOST_MONTH),
        (story.RESTORED, story.RESTORED_MONTH),
    ]
]
"""The months in which something is missing for good, and where."""


@dataclass
class Lived:
    """What came of the year: deliveries in ``out``, the story's own count, and the runs."""

    out: Path
    count: Count
    lost: Count
    lost_ledger: str = ""
    runs: list[dict[str, Any]] = field(default_factory=list)
    events: int = 0

    def newest(self) -> list[dict[str, Any]]:
        """The payload of each month's newest manifest, in their order."""
        found = []
        for folder in sorted(self.out.iterdir()):
            name = max(folder.glob("manifest*.json"), key=lambda path: (len(path.name), path.name))
            found.append(json.loads(name.read_bytes())["payload"])
        return found


class _Fleet:
    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self.say = folder, say
        self.clock = HandSet(folder / "clock", story.at(1, 1))
        self.keys = make_keys(folder)
        environment = {**self.keys, **self.clock.environment, "EATS_SECURE": "false"}
        self.zones = [Collector(zone, folder, environment) for zone in ZONES]
        self.client = httpx.Client(trust_env=False, timeout=600)

    def post(self, sent: Sequence[Sent]) -> None:
        """Hands events over in the order in which they arrive, zone by zone."""
        for number, collector in enumerate(self.zones):
            raws = [one.raw for one in sent if one.zone == number]
            for start in range(0, len(raws), _BATCH):
                body = b"[%s]" % b",".join(raws[start : start + _BATCH])
                answer = self.client.post(f"http://{collector.target}/v1/log", content=body)
                assert answer.status_code == 201, answer.text

    def export(self) -> dict[str, Any]:
        """What the CronJob does."""
        began = time.perf_counter()
        result = command(
            "export-month",
            "--due",
            *("--peers", ",".join(one.address for one in self.zones)),
            *("--to", self.folder / "out"),
            "--json",
            environment={**self.keys, **self.clock.from_now},
            timeout=_PATIENCE,
        )
        assert result.out, result.err
        facts: dict[str, Any] = result.facts
        took = time.perf_counter() - began
        self.say(f"{facts['period']}: {facts['result']}, {facts['events']} events, {took:.1f} s")
        return {**facts, "code": result.code}

    def do(self, what: str, lived: Lived) -> None:
        """What happens besides that events come in."""
        if what == "export":
            lived.runs.append(self.export())
        elif what == "away":
            self.zones[story.AWAY].stop()
        elif what == "back":
            self.zones[story.AWAY].start()
        elif what == "lose":
            lived.lost_ledger = self.lose(self.zones[story.LOST])
        elif what == "back up":
            self.back_up()
        elif what == "restore":
            self.restore()

    def back_up(self) -> None:
        """What another CronJob does."""
        collector = self.zones[story.RESTORED]
        self._done("backup", "--from", collector.address, "--to", self.folder / "backup")

    def restore(self) -> None:
        """A volume is lost, and comes back from the backup."""
        collector = self.zones[story.RESTORED]
        self.lose(collector)
        self._done("restore", self.folder / "backup", "--to", collector.address)

    def _done(self, *words: object) -> None:
        environment = {**self.keys, **self.clock.from_now}
        done = command(*words, environment=environment, timeout=_PATIENCE)
        self.say(done.out.strip())
        assert done.code == 0, done.err

    def lose(self, collector: Collector) -> str:
        """A volume is lost, and the collector begins anew; the id of the ledger that is gone."""
        collector.stop()
        (ledger,) = (collector.data / "ledgers").iterdir()
        shutil.rmtree(collector.data)
        collector.start()
        return ledger.name


def moments() -> list[tuple[int, str]]:
    """When something is done besides sending, and what."""
    found = [(story.due(month), "export") for month in range(1, 13)]
    found += [(story.at(month, day), "go on") for month in range(1, 13) for day in (9, 18)]
    found += [
        (story.AWAY_SINCE, "away"),
        (story.AWAY_UNTIL, "back"),
        (story.AWAY_UNTIL + DAY, "export"),
        (story.LOST_AT, "lose"),
        (story.BACKED_UP_AT, "back up"),
        (story.RESTORED_AT, "restore"),
    ]
    return sorted(found)


def live(
    folder: Path, jobs: int, sessions: int, seed: int = 1, say: Callable[[str], None] = print
) -> Lived:
    """Lives the year through; the files of the year are in ``folder`` afterwards."""
    sent = sorted(story.tell(jobs, sessions, seed), key=lambda one: one.at)
    fleet = _Fleet(folder, say)
    lived = Lived(folder / "out", Count(), Count(), events=len(sent))
    for one in sent:
        (lived.lost if story.is_lost(one) else lived.count).add(one)
    try:
        for collector in fleet.zones:
            collector.start()
        done = 0
        for moment, what in moments():
            fleet.clock.set(moment)
            begin = done
            while done < len(sent) and sent[done].at <= moment:
                done += 1
            fleet.post(sent[begin:done])
            fleet.do(what, lived)
        assert done == len(sent)
    finally:
        for collector in fleet.zones:
            collector.stop()
    return lived


def differences(lived: Lived) -> list[str]:
    """What the twelve manifests together say otherwise than the story."""
    months, count = lived.newest(), lived.count
    after = [month["totals"]["after"] for month in months]
    seconds = [total["seconds"] for total in after]
    seconds += [month["coverage"]["corrected_seconds"] for month in months]
    customers: dict[str, int] = {}
    for total in after:
        for line in total["by_customer"]:
            known = customers.get(line["customer"], 0)
            customers[line["customer"]] = known + line["count"]
    gaps = [(month["period"], gap["collector"]) for month in months for gap in month["gaps"]]
    compared: dict[str, tuple[object, object]] = {
        "months": ([month["period"] for month in months], [f"{story.YEAR}-{n:02}" for n in _YEAR]),
        "jobs and sessions": (sum(total["count"] for total in after), len(count.best)),
        "microseconds": (sum(round(one * 1e6) for one in seconds), count.duration),
        "customers": (customers, count.by_customer()),
        "warm-ups": (
            sum(total["warm_ups"]["count"] for total in after),
            len(count.warm_ups),
        ),
        "implausible": (sum(len(month["implausible"]) for month in months), count.implausible),
        "gaps": (gaps, GAPS),
        "revisions": (
            [month["revision"] for month in months],
            [2 if n == story.AWAY_MONTH else 1 for n in _YEAR],
        ),
        "by day": (
            sum(round(line["seconds"] * 1e6) for month in months for line in month["days"]),
            sum(round(total["seconds"] * 1e6) for total in after),
        ),
    }
    return [f"{what}: {a} is not {b}" for what, (a, b) in compared.items() if a != b]
