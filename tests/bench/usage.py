"""How fast usage is counted, and asked for.

`python -m tests.bench.usage [--events N] [--collectors N] [--values N]`: the day index of one
collector with that many jobs (1,000,000 by default) of 90 days, 50 customers, 5 languages, 2
operating points, 3 zones and a dimension with so many values; of the jobs each other collector told
its share. Of more than two million only the first two are counted one by one; the others are in the
sums, which are all that answers are made of. Then `GET /v2/usage` is answered from it, as a
collector does it, by every pair of groups and more. The time of a processor that this takes stands
beside it, for machines that have other things to do.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import msgspec

from usage_collector import usage
from usage_collector.sessions import SECOND
from usage_collector.usage import answering
from usage_collector.usage.states import DAY, State
from usage_collector.usage.store import Mark, Store

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST = 20_700
_DAYS = 90
_AT_ONCE = 50_000
_ONE_BY_ONE = 2_000_000
_LANGUAGES = ("en", "de", "fr", "es", "sv")
_POINTS = ("standard", "enhanced")
_TIMES = 11
_PROJECT = "dimension:project"
_GROUPS = (*usage.GROUPS, _PROJECT)
_MORE = (
    None,
    "customer,zone,language",
    "day,customer,zone",
    "day,zone,language,operating_point",
    f"month,customer,zone,language,{_PROJECT}",
)


def _states(first: int, number: int, random: Random, collectors: int, values: int) -> list[State]:
    return list(_made(first, number, random, collectors, values))


def _made(first: int, number: int, random: Random, collectors: int, values: int) -> Iterator[State]:
    for position in range(first, first + number):
        time_ = _FIRST * DAY + int(random.random() * _DAYS * DAY)
        customer = int(random.random() * 50)
        zone = position % 3
        labels = (
            "batch",
            "transcription",
            random.choice(_LANGUAGES),
            random.choice(_POINTS),
            f"customer-{customer}",
            f"eu-1{'abc'[zone]}",
            "wav",
            "0",
        )
        project = customer % 5 + 5 * int(random.random() * values / 5)
        yield State(
            identity=sha256(position.to_bytes(8, "big")).digest(),
            collector=f"speech-{position % collectors}",
            ledger="0b6f1c9e-5d0e-4c1b-9d5e-2f6a3e1b7c11",
            position=position,
            labels=labels,
            final=True,
            warm_up=False,
            time=time_,
            received=0,
            duration=int(random.random() * 3600 * SECOND),
            speech=0,
            ended=True,
            end=time_,
            statuses=(),
            dimensions=f'{{"project":"p{project}"}}' if values else "",
        )


def _fill(store: Store, number: int, collectors: int, values: int) -> float:
    random = Random(1)
    spent = 0.0
    for first in range(1, number + 1, _AT_ONCE):
        states = _states(first, min(_AT_ONCE, number + 1 - first), random, collectors, values)
        began = time.thread_time()
        for collector in range(collectors):
            _take(store, states[collector::collectors], own=collector == 0)
        spent += time.thread_time() - began
    return spent


def _multiply(store: Store, times: int) -> None:
    """Let each sum be of so many times as many jobs."""
    with store._writing() as connection:
        connection.execute(
            "UPDATE cells SET count = count * ?1, duration = duration * ?1", (times,)
        ).fetchall()


def _take(store: Store, states: list[State], *, own: bool) -> None:
    marks = [Mark.ledger("ledger", states[-1].position)]
    store.fold(states, 0, own=own, marks=marks, epoch=store.epoch)


def _ask(store: Store, since: str | None, until: str | None, group_by: str | None) -> float:
    """Print how long it takes; the processor's time (ms) that it mostly takes."""
    query = usage.query(since, until, group_by, _FIRST + _DAYS)
    took: list[float] = []
    spent: list[float] = []
    groups = 0
    for _ in range(_TIMES):
        began, before = time.perf_counter(), time.thread_time()
        answered = answering.answer(store, query)
        size = len(msgspec.json.encode(answered))
        took.append((time.perf_counter() - began) * 1000)
        spent.append((time.thread_time() - before) * 1000)
        groups = len(usage.flat(answered))
    asked = f"{since or 'all 90 days'}{'…' + until if until else ''}, by {group_by or 'details'}"
    print(
        f"{asked:66} {groups:6} {size / 1e3:8.1f} {_part(took, 0.5):7.1f} {_part(took, 0.99):7.1f} "
        f"{_part(spent, 0.5):7.1f} {_part(spent, 0.99):7.1f}",
        flush=True,
    )
    return _part(spent, 0.5)


def _part(values: list[float], part: float) -> float:
    return sorted(values)[min(int(len(values) * part), len(values) - 1)]


def _sealed(store: Store) -> float:
    began = time.thread_time()
    store.seal(_FIRST + _DAYS)
    return time.thread_time() - began


def main() -> None:
    """Fill an index and ask it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--collectors", type=int, default=3, help="(default: 3)")
    parser.add_argument("--values", type=int, default=20, help="of the dimension (default: 20)")
    given = parser.parse_args()
    number = given.events
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        times = max(number // _ONE_BY_ONE, 1)
        number //= times
        spent = _fill(store, number, given.collectors, given.values)
        print(f"{number} jobs counted in {spent:.1f} s of a processor: {number / spent:.0f}/s")
        cells, labels = (
            store.rows(f"SELECT count(*) FROM {table}")[0][0] for table in ("cells", "labels")
        )
        print(f"{cells} sums by day, of {labels} combinations of labels and dimensions")
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        print(f"index: {size / 1e6:.0f} MB, {size / number:.1f} bytes a job")
        print(f"{'':66} groups       kB    time     p99     CPU     p99, ms")
        if times > 1:
            _multiply(store, times)
        print(f"sums of {store.rows('SELECT sum(count) FROM cells')[0][0]} jobs:")
        print("right after all 90 days have changed:")
        _ask(store, None, None, "customer,zone,language")
        print(f"all days kept as columns, in {_sealed(store):.2f} s of a processor:")
        slow = {}
        asked = [*_MORE[:1], *_GROUPS, *map(",".join, combinations(_GROUPS, 2)), *_MORE[1:]]
        for group_by in asked:
            slow[group_by] = _ask(store, None, None, group_by)
        _ask(store, "2026-10-01", "2026-10-31", "customer")
        slower = [str(group_by) for group_by, spent in slow.items() if spent >= 50]
        shown = f"{len(slow) - len(slower)} of {len(slow)} mostly under 50 ms of a processor"
        print(f"{shown}; not:", *slower)
        print(f"memory at most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")
        store.close()


if __name__ == "__main__":
    main()
