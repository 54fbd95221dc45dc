"""How many of what, in words for people."""

from __future__ import annotations

from usage_collector.words import many


def test_one_is_no_plural() -> None:
    """Nor is none one; what needs more than an s says so."""
    assert [many(n, "event") for n in (0, 1, 2)] == ["0 events", "1 event", "2 events"]
    assert many(1, "event is lost", "events are lost") == "1 event is lost"
    assert many(21, "event is lost", "events are lost") == "21 events are lost"
