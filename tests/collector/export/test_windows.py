"""Windows that fit: exactly the one asked for, without overlap."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from usage_collector.export import windows
from usage_collector.ledger import BATCH_JOB, Filed, Load
from usage_collector.periods import Window, parse_window

_FILED = st.lists(
    st.tuples(
        st.integers(1, 40).map(lambda t: t * 500_000),
        st.sampled_from([None, BATCH_JOB, 0, 1000, 3_600_000]),
    ),
    max_size=60,
).map(lambda found: [Filed(t, i, w) for i, (t, w) in enumerate(sorted(found, key=lambda f: f[0]))])
_BOUND = st.none() | st.integers(0, 25_000_000)


@given(_FILED, _BOUND, _BOUND, st.integers(1, 5), st.integers(1, 4_000_000))
def test_parts_cover_exactly_what_was_asked_and_fit(
    found: list[Filed], since: int | None, until: int | None, jobs: int, realtime_ms: int
) -> None:
    """The parts join without gap or overlap, each fits or is one instant, all events are in one."""
    low, high = since or 0, 10**12 if until is None else until
    inside = [filed for filed in found if low <= filed.time <= high]
    most = Load(jobs, realtime_ms)
    parts = list(windows.split(inside, Window(since, until), most))
    assert parts[0].window.since_us == since
    assert parts[-1].window.until_us == until
    for one, following in itertools.pairwise(parts):
        assert one.window.until_us is not None
        assert following.window.since_us == one.window.until_us + 1
    for part in parts:
        start, end = part.window.since_us or 0, part.window.until_us
        held = [f for f in inside if start <= f.time and (end is None or f.time <= end)]
        assert len(held) == part.count
        total = sum((windows.weighed(f.weight) for f in held), Load())
        assert windows.fits(total, most) or len({f.time for f in held}) == 1
    assert sum(part.count for part in parts) == len(inside)


@given(_FILED, _BOUND, _BOUND, st.integers(1, 3))
def test_what_a_part_says_is_read_back_as_the_same_window(
    found: list[Filed], since: int | None, until: int | None, jobs: int
) -> None:
    """The texts in the answer mean exactly that window when they are asked for."""
    if since is not None and until is not None and since > until:
        return
    inside = [f for f in found if (since or 0) <= f.time and (until is None or f.time <= until)]
    for part in windows.split(inside, Window(since, until), Load(jobs, 10)):
        text = {name: str(value) if value else None for name, value in part.as_json().items()}
        assert parse_window(text["since"], text["until"]) == part.window
