"""What is known of today and yesterday in each zone, as Prometheus reads it.

Two days, since what comes late may still change the one before; a label for each date would grow
without end.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from prometheus_client import Gauge

from usage_collector.errors import UsageError
from usage_collector.usage import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client import CollectorRegistry

_TEXTS = {
    "coverage": "Part of the day of which everything received is known",
    "silent_sessions": "Sessions whose engine stopped talking before their end, estimated",
    "early_events": "Events dated over a minute later than received, so that a clock is wrong",
}


class DayMetrics:
    """Asks ``days`` at each scrape: a name to its lines, as `usage.coverage.days` has them."""

    def __init__(
        self,
        registry: CollectorRegistry,
        days: Callable[[], Mapping[str, list[dict[str, Any]]]],
    ) -> None:
        self._days = days
        self._gauges = {
            name: Gauge(f"usage_day_{name}", text, ("day", "zone"), registry=registry)
            for name, text in _TEXTS.items()
        }
        self._problems = Gauge(
            "usage_day_problems",
            "Why not all of the day is known: how many such stretches",
            ("day", "zone", "kind"),
            registry=registry,
        )

    def refresh(self) -> None:
        """Take over what is known now; nothing is told where the index cannot be read."""
        for gauge in (*self._gauges.values(), self._problems):
            gauge.clear()
        try:
            found = self._days()
        except UsageError:
            return
        for day, lines in found.items():
            for line in lines:
                zone = line["zone"]
                for name, gauge in self._gauges.items():
                    gauge.labels(day, zone).set(line[name])
                kinds = Counter(one["kind"] for one in line["problems"])
                for kind in {*map(str, Kind), *kinds}:
                    self._problems.labels(day, zone, kind).set(kinds[kind])
