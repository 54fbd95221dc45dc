"""The two listeners: routes, TLS, limits, and errors as statuses. No SQL."""

from usage_collector.web.logs import configure
from usage_collector.web.serving import Collector, assemble

__all__ = ["Collector", "assemble", "configure"]
