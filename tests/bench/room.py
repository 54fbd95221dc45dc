"""How much room an event takes on the disk: `python -m tests.bench.room [--events N]`.

Events of 1 kB, three a session, stored one by one in commits of their own and a second apart by
the collector's clock, and in arrays of 100; while hot, with log and index, and once at rest.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from random import Random

from tests.bench import figures
from tests.bench.load import EVENT
from usage_collector import events
from usage_collector.ledger import Ledgers

_START = 1_790_899_200_000_000
_SECOND = 1_000_000


def _event(number: int, chance: Random) -> bytes:
    """One of 1 kB: its session's third, with file metadata of some length."""
    second = number % 86_400
    text = EVENT % (
        chance.getrandbits(40), chance.getrandbits(40), number // 3 >> 48, number // 3, 10,
        1 + number // 86_400 % 28, second // 3600, second // 60 % 60, second % 60, number % 1000,
        chance.random(), chance.randrange(10**6), chance.random() * 500, chance.random() * 400,
    )  # fmt: skip
    title = f"recording-{chance.getrandbits(64):016x}-{'of a conversation ' * 15}"
    return text.replace('"file_metadata":{}', f'"file_metadata":{{"title":"{title}"}}').encode()


def _size(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in (folder / "ledgers").rglob("*"))


def measure(count: int, at_once: int) -> tuple[int, float, float]:
    """Store that many; the bytes of one as received, and of one on the disk, hot and at rest."""
    chance, now = Random(1), [_START]
    with tempfile.TemporaryDirectory() as name:
        ledgers = Ledgers(Path(name), "bench", "z", lambda: now[0])
        plain = 0
        for start in range(0, count, at_once):
            raws = [_event(start + n, chance) for n in range(at_once)]
            plain += sum(map(len, raws))
            ledgers.writer.append_and_wait(events.parse(b"[" + b",".join(raws) + b"]"))
            now[0] += _SECOND * at_once
            if start % 100 == 0:
                # By the clock minutes have passed, in which the writer does this twice a second.
                ledgers.writer.call(lambda book: book.seal(now[0], 0.05)).result()
        hot = _size(Path(name))
        now[0] += 86_400 * _SECOND
        for _ in range(20):
            ledgers.writer.call(lambda book: book.seal(now[0], 60)).result()
        ledgers.close()
        return plain // count, hot / count, _size(Path(name)) / count


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50_000, help="(default: 50,000)")
    parser.add_argument("--save", action="store_true", help="into RESULTS.md")
    chosen = parser.parse_args()
    text = "| events | stored | bytes as received | on the disk, hot | at rest |\n"
    text += "|---|---|---|---|---|\n"
    for at_once in (1, 100):
        began = time.monotonic()
        plain, hot, sealed = measure(chosen.events, at_once)
        took = time.monotonic() - began
        how = "one by one" if at_once == 1 else f"{at_once} at once"
        text += (
            f"| {chosen.events:,} in {took:.0f} s | {how} | {plain} | {hot:.0f} | {sealed:.0f} |\n"
        )
    print(text)
    if chosen.save:
        figures.save("room", f"room --events {chosen.events}", text)


if __name__ == "__main__":
    main()
