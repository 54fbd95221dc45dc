"""A whole year against an independent count: `python -m tests.bench.year`.

Three real collectors and the real monthly export live through a year on a clock that is set by
hand: retries, re-sends to other zones, late, lost and impossible ends, warm-ups, wrong clocks, a
zone away for a week around a month's end, a volume that is lost, another that is restored. Then all
twelve months are verified. Exit 0 only when the manifests say what the story says.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import figures
from tests.bench.month import run
from tests.collector.year import life


def main() -> None:
    """Prints each month's run, then what came of the year."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200_000)
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="write what came of it to RESULTS.md")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        lived = life.live(Path(folder), asked.jobs, asked.sessions, asked.seed)
        took = time.perf_counter() - began
        verified = run("verify", lived.out, environment={})
        problems = life.differences(lived)
    report = verified.facts
    problems += [str(one) for one in report["findings"] if one["kind"] != "gap"]
    text = (
        f"{lived.events:,} events told, twelve months exported in {took:.0f} s; "
        f"{len(report['files'])} packages with {report['events']:,} events verified in "
        f"{verified.seconds:.1f} s with {verified.peak_mb:.0f} MB. {len(lived.count.best):,} jobs "
        f"and sessions, {lived.count.duration / 3.6e9:.6f} hours: "
        + ("; ".join(problems) or "the twelve manifests say the same, and name every gap there is")
        + ".\n"
    )
    print(text)
    if asked.save:
        figures.save("year", f"year --jobs {asked.jobs} --sessions {asked.sessions}", text)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
