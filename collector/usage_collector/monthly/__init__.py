"""A month over all collectors: fetched, proved, counted once, delivered, receipted."""

from usage_collector.monthly.parts import Order
from usage_collector.monthly.run import run, run_due
from usage_collector.monthly.summary import Outcome, as_json, short

__all__ = ["Order", "Outcome", "as_json", "run", "run_due", "short"]
