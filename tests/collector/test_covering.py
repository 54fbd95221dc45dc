"""Of which days of a month all is known."""

from __future__ import annotations

import msgspec

from tests.collector.made import event
from usage_collector import events
from usage_collector.packages import covering
from usage_collector.periods import Period
from usage_collector.sessions import Place, use
from usage_collector.totals.month import DAY, Month

OCTOBER = Period(2026, 10)
ZONES = {"a-0": "a", "a-1": "a", "b-0": "b"}


def _month(days: int = 3) -> Month:
    """Three days from 5 October, with a job and a session that fell silent in zone a."""
    start = OCTOBER.start + 4 * DAY
    month = Month(start + 100 * DAY, (start, start + days * DAY))
    for position, kind in enumerate(("TRANSCRIBER_DONE", "SESSION_STATUS"), 1):
        raw = event(f"s{position}", event=kind)
        said = use(events.read(raw), Place("a-0", "ledger", position), "a")
        assert said
        month.add([said])
    return month


def test_where_all_is_known_nothing_is_zero() -> None:
    """A line for each day and zone; what fell silent is told where it did."""
    lines = covering.days(ZONES, (), _month())
    assert [(line["day"], line["zone"], line["count"]) for line in lines] == [
        ("2026-10-05", "a", 2),
        ("2026-10-05", "b", 0),
        ("2026-10-06", "a", 0),
        ("2026-10-06", "b", 0),
        ("2026-10-07", "a", 0),
        ("2026-10-07", "b", 0),
    ]
    assert {line["coverage"] for line in lines} == {1.0}
    assert [line["silent_sessions"] for line in lines] == [1, 0, 0, 0, 0, 0]
    assert msgspec.json.encode(lines)


def test_where_something_is_missing_nothing_is_not_known() -> None:
    """Never zero; and of a collector that did not answer not even the zone is."""
    lines = covering.days(ZONES, {"a-1", "https://away"}, _month(1))
    assert lines == [
        {"day": "2026-10-05", "zone": "a", "coverage": 0.5, "count": 2, "silent_sessions": 1},
        {"day": "2026-10-05", "zone": "b", "coverage": 1.0, "count": 0, "silent_sessions": 0},
        {"day": "2026-10-05", "zone": None, "coverage": 0.0, "count": None, "silent_sessions": 0},
    ]
