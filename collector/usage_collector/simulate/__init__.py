"""A load generator that behaves like the field's transcribers, and counts for itself."""

from usage_collector.simulate.field import Plan, Told, timeline
from usage_collector.simulate.sending import Line, Sender, log
from usage_collector.simulate.tally import Tally

__all__ = ["Line", "Plan", "Sender", "Tally", "Told", "log", "timeline"]
