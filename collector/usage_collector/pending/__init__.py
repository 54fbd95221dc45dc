"""Usage that was announced and is not known yet: found in the ledgers, asked for, stored."""

from usage_collector.pending.asking import Desk
from usage_collector.pending.finding import Finder, Pending

__all__ = ["Desk", "Finder", "Pending"]
