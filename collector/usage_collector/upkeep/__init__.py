"""Looking after the ledgers: purging what is old and was sent, and checking what is there."""

from usage_collector.upkeep.checking import Finding, Report, check
from usage_collector.upkeep.clock import Clock, host
from usage_collector.upkeep.purging import Purger, purgeable
from usage_collector.upkeep.scrubbing import scrub

__all__ = ["Clock", "Finding", "Purger", "Report", "check", "host", "purgeable", "scrub"]
