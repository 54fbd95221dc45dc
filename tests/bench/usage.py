"""How fast usage is counted, and asked for.

`python -m tests.bench.usage [--events N]`: the day index of one collector with that many jobs
(1,000,000 by default) of 90 days, 50 customers, 5 languages, 2 operating points and 3 zones; then
`GET /v2/usage` is answered from it, as a collector does it, for all days and for some. The time of
a processor that this takes stands beside it, for machines that have other things to do.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from usage_collector import usage
from usage_collector.sessions import SECOND
from usage_collector.usage import answering
from usage_collector.usage.states import DAY, State
from usage_collector.usage.store import Mark, Store

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST = 20_700
_DAYS = 90
_AT_ONCE = 20_000
_LANGUAGES = ("en", "de", "fr", "es", "sv")
_POINTS = ("standard", "enhanced")


def _states(first: int, number: int, random: Random) -> Iterator[State]:
    for position in range(first, first + number):
        time_ = _FIRST * DAY + random.randrange(_DAYS * DAY)
        customer = f"customer-{random.randrange(50)}"
        labels = (
            "batch",
            "transcription",
            random.choice(_LANGUAGES),
            random.choice(_POINTS),
            customer,
            f"eu-1{random.choice('abc')}",
            "wav",
            "0",
        )
        yield State(
            identity=sha256(position.to_bytes(8, "big")).digest(),
            collector="speech-eu-1a-0",
            ledger="0b6f1c9e-5d0e-4c1b-9d5e-2f6a3e1b7c11",
            position=position,
            labels=labels,
            final=True,
            warm_up=False,
            time=time_,
            received=time_,
            duration=random.randrange(3600 * SECOND),
            speech=0,
            ended=True,
            end=time_,
            statuses=(),
        )


def _fill(store: Store, number: int) -> float:
    random = Random(1)
    spent = 0.0
    for first in range(1, number + 1, _AT_ONCE):
        states = list(_states(first, min(_AT_ONCE, number + 1 - first), random))
        began = time.perf_counter()
        store.fold(states, 0, own=True, marks=[Mark.ledger("ledger", first)], epoch=store.epoch)
        spent += time.perf_counter() - began
    return spent


def _ask(store: Store, since: str | None, until: str | None, group_by: str | None) -> None:
    query = usage.query(since, until, group_by, _FIRST + _DAYS)
    found: list[float] = []
    spent: list[float] = []
    for _ in range(11):
        began, before = time.perf_counter(), time.thread_time()
        answering.answer(store, query)
        found.append((time.perf_counter() - began) * 1000)
        spent.append((time.thread_time() - before) * 1000)
    asked = f"{since or 'all 90 days'}{'…' + until if until else ''}, by {group_by or 'details'}"
    print(
        f"{asked:60} {statistics.median(found):7.1f} ms  (slowest {max(found):.1f}; "
        f"of a processor {statistics.median(spent):.1f})"
    )


def main() -> None:
    """Fill an index and ask it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    number = parser.parse_args().events
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        spent = _fill(store, number)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        print(f"{number} jobs counted in {spent:.1f} s: {number / spent:.0f}/s")
        print(f"index: {size / 1e6:.0f} MB, {size / number:.0f} bytes a job")
        for group_by in (None, "customer", "zone", "customer,zone,language", "day", "day,customer"):
            _ask(store, None, None, group_by)
        _ask(store, "2026-10-01", "2026-10-31", "customer")
        store.close()


if __name__ == "__main__":
    main()
