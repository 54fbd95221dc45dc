"""A month over all collectors: fetched, proved, counted once, delivered, receipted."""

from usage_collector.monthly.acknowledging import Acknowledged, acknowledge
from usage_collector.monthly.asking import exported_to
from usage_collector.monthly.parts import Asking, Order
from usage_collector.monthly.run import run, run_due
from usage_collector.monthly.summary import Outcome, as_json, short
from usage_collector.monthly.telling import tell_due

__all__ = [
    "Acknowledged",
    "Asking",
    "Order",
    "Outcome",
    "acknowledge",
    "as_json",
    "exported_to",
    "run",
    "run_due",
    "short",
    "tell_due",
]
