"""The two listeners: routes, TLS, limits, and errors as statuses. No SQL."""

from usage_collector.web.logs import configure
from usage_collector.web.serving import Collector, assemble, claim
from usage_collector.web.shipping import Lag, LagListener

__all__ = ["Collector", "Lag", "LagListener", "assemble", "claim", "configure"]
