"""Usage by day: what was used, by whom, over all collectors.

Reads this collector's ledgers into an index of its own, tells the other collectors and asks them,
and answers from it. Its SQL is that of the index only, which can always be made anew.
"""

from usage_collector.usage.answering import as_csv, flat
from usage_collector.usage.asking import DIMENSION, GROUPS, Query, last_days, query
from usage_collector.usage.coverage import Kind, Trouble
from usage_collector.usage.customers import Customer, read_details
from usage_collector.usage.fleet import Fleet
from usage_collector.usage.missing import Missing
from usage_collector.usage.series import BY, read_by

__all__ = [
    "BY",
    "DIMENSION",
    "GROUPS",
    "Customer",
    "Fleet",
    "Kind",
    "Missing",
    "Query",
    "Trouble",
    "as_csv",
    "flat",
    "last_days",
    "query",
    "read_by",
    "read_details",
]
