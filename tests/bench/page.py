"""How fast the page shows a year.

`python -m tests.bench.page [--customers N] [--zones N]`: a job on each of 365 days for each zone
and customer, in the day index of one collector, and the page at ``/`` in Chromium, for a year and
for a month: when all was drawn, how much of a processor's time the browser's main thread took for
it, and what it asked for.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tests.collector.browser import Visit, chromium
from tests.collector.process import CollectorProcess
from usage_collector.sessions import SECOND
from usage_collector.usage.states import DAY, State
from usage_collector.usage.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

_DAYS = 365
_AT_ONCE = 50_000
_FORMATS = ("wav", "mp3", "flac", "m4a", "pcm_s16le", "")
_LANGUAGES = ("en", "de", "fr", "es", "sv")
_ASKED = """
performance.getEntriesByType("resource").map((one) => ({
  name: one.name.replace(location.origin, ""), ms: one.duration, bytes: one.encodedBodySize,
}))
"""
# Two frames behind the change that shows the usage, everything is drawn.
_MARK = """
new MutationObserver((_, seen) => {
  if (document.querySelector("#content")?.hidden !== false) return;
  seen.disconnect();
  requestAnimationFrame(() => requestAnimationFrame(() => { window.drawn = performance.now(); }));
}).observe(document, { subtree: true, attributes: true, attributeFilter: ["hidden"] });
"""


def _states(zones: int, customers: int, until: int) -> Iterator[State]:
    random, position = Random(1), 0
    for day in range(until - _DAYS + 1, until + 1):
        for zone in range(zones):
            for customer in range(customers):
                position += 1
                at = day * DAY + random.randrange(DAY)
                labels = (
                    "batch", "transcription", random.choice(_LANGUAGES), "standard",
                    f"customer-{customer}", f"eu-1{zone}", random.choice(_FORMATS), "0",
                )  # fmt: skip
                yield State(
                    identity=sha256(position.to_bytes(8, "big")).digest(),
                    collector="speech-0",
                    ledger="0b6f1c9e-5d0e-4c1b-9d5e-2f6a3e1b7c11",
                    position=position,
                    labels=labels,
                    final=True,
                    warm_up=False,
                    time=at,
                    received=at,
                    duration=random.randrange(3600 * SECOND),
                    speech=0,
                    ended=True,
                    end=at,
                    statuses=(),
                )


def _fill(folder: Path, zones: int, customers: int) -> int:
    folder.mkdir()
    store, number = Store(folder), 0
    today = int(time.time() // 86400)
    states = list(_states(zones, customers, today - 1))
    for first in range(0, len(states), _AT_ONCE):
        some = states[first : first + _AT_ONCE]
        store.fold(some, 0, own=True, marks=[], epoch=store.epoch)
        number += len(some)
    store.close()
    return number


def _show(visit: Visit, address: str, title: str) -> None:
    visit.page.add_init_script(_MARK)
    session = visit.context.new_cdp_session(visit.page)
    # Time of a processor, since the machine may have other things to do.
    session.send("Performance.setTimeDomain", {"timeDomain": "threadTicks"})
    session.send("Performance.enable")
    page = visit.open(address)
    drawn: float = page.evaluate(
        "new Promise(function wait(done) {"
        " window.drawn ? done(window.drawn) : requestAnimationFrame(() => wait(done)); })"
    )
    told = session.send("Performance.getMetrics")["metrics"]
    spent = {one["name"]: 1000 * one["value"] for one in told}
    asked: list[dict[str, Any]] = page.evaluate(_ASKED)
    print(
        f"\n{title}: all drawn after {drawn:.0f} ms, of them busy {spent['TaskDuration']:.0f} ms "
        f"(scripts {spent['ScriptDuration']:.0f}, layout {spent['LayoutDuration']:.0f}); "
        f"{sum(one['bytes'] for one in asked) / 1000:.0f} kB asked for"
    )
    for one in asked:
        if "/v1/" in one["name"]:
            print(f"  {one['ms']:7.0f} ms  {one['bytes'] / 1000:8.1f} kB  {one['name']}")


def main() -> None:
    """Fill an index, and look at the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=100)
    parser.add_argument("--zones", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, chromium() as browser:
        folder = Path(scratch) / "data"
        number = _fill(folder, given.zones, given.customers)
        print(f"{number} jobs: {_DAYS} days, {given.zones} zones, {given.customers} customers")
        with CollectorProcess(folder).there_since(_DAYS * 86_400) as process:
            for title, days in (("a year", _DAYS), ("a month", 30), ("a year again", _DAYS)):
                visit = Visit(browser, process.reporting_url)
                today = time.time() // 86400
                since = time.strftime("%Y-%m-%d", time.gmtime((today - days + 1) * 86400))
                _show(visit, f"#since={since}&by=customer", title)
                if visit.complaints:
                    print(json.dumps(visit.complaints))
                visit.close()


if __name__ == "__main__":
    main()
