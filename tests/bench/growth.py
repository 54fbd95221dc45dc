"""Whether a full ledger takes events as fast as one that is not: `python -m tests.bench.growth`.

Two collectors, one with ``--few`` events and one with ``--many``, are loaded in turn. The long
form is ``--many 50000000``, which takes some 6 GB on the disk.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random

from tests.bench import figures, load, servers
from tests.bench.load import EVENT, Load
from usage_collector import events, files
from usage_collector.ledger import Ledgers

_AT_ONCE = 1000
_EVERY_MS = 20
"""Between two events by their own times: 50 million are some 12 days."""
LOADS = (Load(1, "ordered", 64), Load(100, "ordered", 64))


def fill(folder: Path, count: int) -> float:
    """Store that many in a collector's data folder; the events a second."""
    files.make_folder(folder)
    chance, began = Random(1), time.monotonic()
    ledgers = Ledgers(folder, "collector-0", "eu-1a", lambda: time.time_ns() // 1000)
    for start in range(0, count, _AT_ONCE):
        body = b",".join(_event(n, chance) for n in range(start, min(start + _AT_ONCE, count)))
        ledgers.writer.append_and_wait(events.parse(b"[" + body + b"]"))
    ledgers.close()
    return count / (time.monotonic() - began)


def _event(number: int, chance: Random) -> bytes:
    ms = number * _EVERY_MS
    noise = chance.getrandbits(80)
    text = EVENT % (
        noise & 0xFFFFFFFFFF, noise >> 40, 0xFFFF, number, 1, 1 + ms // 86_400_000 % 28,
        ms // 3_600_000 % 24, ms // 60_000 % 60, ms // 1000 % 60, ms % 1000, noise % 997 / 997,
        noise % 1_000_003, noise % 49_999 / 100, noise % 39_989 / 100,
    )  # fmt: skip
    return text.encode()


def measure(counts: list[int], rounds: int, seconds: int) -> str:
    """A table of both collectors' speed."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        started, lines = {}, []
        for count in counts:
            folder = Path(name) / str(count)
            rate = fill(folder / "data", count)
            print(f"{count:,} events stored, {rate:,.0f} a second", flush=True)
            began = time.monotonic()
            started[count] = stack.enter_context(servers.ours(folder, 0))[0]
            lines.append(f"A start with {count:,} events: {time.monotonic() - began:.1f} s.")
        found: dict[tuple[Load, int], list[load.Result]] = {}
        number = 0
        for _ in range(rounds):
            for one in LOADS:
                for count in counts:
                    number += 1
                    result = load.run(started[count], one, seconds, number, Path(name), 1)
                    found.setdefault((one, count), []).append(result)
                    print(figures.progress(f"{count:,}", one, result), flush=True)
        head = "".join(f" with {count:,} |" for count in counts)
        table = [f"| events a request | |{head} ratio |", "|---|---|" + "---|" * (len(counts) + 1)]
        for one in LOADS:
            for what, unit in (("rate", "a second"), ("per_cpu", "a CPU second")):
                few, many = (
                    statistics.median(getattr(result, what) for result in found[one, count])
                    for count in counts
                )
                row = (
                    f"| {one.size} | events {unit} | {few:,.0f} | {many:,.0f} | {many / few:.2f} |"
                )
                table.append(row)
        return "\n".join([*table, "", *lines]) + "\n"


def main() -> None:
    """Fill, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=1_000_000, help="(default: 1,000,000)")
    parser.add_argument("--many", type=int, default=5_000_000, help="(default: 5,000,000)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement (default: 5)")
    parser.add_argument("--save", action="store_true", help="into RESULTS.md")
    chosen = parser.parse_args()
    text = measure([chosen.few, chosen.many], chosen.rounds, chosen.seconds)
    print(text)
    if chosen.save:
        figures.save("growth", f"growth --many {chosen.many}", text)


if __name__ == "__main__":
    main()
