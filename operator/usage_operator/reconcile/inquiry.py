"""When collectors are asked what they say of themselves, and whether the Service reaches them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from usage_operator import probe
from usage_operator.plan import Ref
from usage_operator.reconcile import filling

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from usage_operator.conditions import Facts, ZoneFacts
    from usage_operator.manifests import Context
    from usage_operator.reconcile.observe import Observed
    from usage_operator.settings import Settings


class Inquiry:
    """Asks when a resource may become Ready, when a restore ended, and else once every resync.

    Where something is amiss, the zones that serve are asked all the same: their volumes fill
    faster while another is away.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._asked: dict[tuple[str, str], tuple[dt.datetime, frozenset[str]]] = {}
        """When a resource was asked last, and the restores that had ended by then."""
        self._history = filling.History()

    def forget(self, key: tuple[str, str]) -> None:
        """Drop what is known of a resource that is gone."""
        self._asked.pop(key, None)
        self._history.forget(*key)

    def _due(self, key: tuple[str, str], facts: Facts, before: Mapping[str, Any]) -> bool:
        """Tell whether everything else is well, and the last answers are old or were bad."""
        waiting = facts.waiting and not facts.window
        settled = not (facts.blocked or facts.troubles or facts.written or waiting)
        whole = all(_serves(zone) and not zone.rolling for zone in facts.zones)
        if not (settled and whole and facts.zones):
            return False
        conditions = before.get("conditions") or []
        was_ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
        asked = self._asked.get(key)
        ended = asked is not None and _ended(facts) <= asked[1]
        return not was_ready or not ended or self._old(key, facts.now)

    def _old(self, key: tuple[str, str], now: dt.datetime) -> bool:
        """Tell whether the last answers are a resync old; looks come a little sooner or later."""
        asked = self._asked.get(key)
        age = (now - asked[0]).total_seconds() if asked else float("inf")
        return age >= 0.8 * self._settings.resync_seconds

    async def complete(
        self, context: Context, seen: Observed, facts: Facts, before: Mapping[str, Any]
    ) -> Facts:
        """Add the collectors' own answers to the facts, if it is time to ask."""
        key = (context.resource.namespace, context.resource.name)
        bundle = seen.objects.get(Ref("ConfigMap", context.names.ca))
        whole = self._due(key, facts, before)
        if bundle is None or not (self._settings.probe and (whole or self._old(key, facts.now))):
            return facts
        ca = bundle["data"]["ca.crt"]
        names, spec = context.names, context.spec
        url = f"https://{names.service_host(names.ingest)}:{spec.ingest.port}/readyz"
        mutual = spec.ingest.tls.client_ca is not None
        asking = asyncio.gather(*(self._zone(context, zone, ca) for zone in facts.zones))
        unreachable = await probe.reach(url, ca, mutual=mutual) if whole else None
        said = await asking
        self._asked[key] = facts.now, _ended(facts)
        zones = tuple(self._forecast(key, zone, facts.now) for zone in said)
        return replace(facts, unreachable=unreachable, zones=zones)

    def _forecast(self, key: tuple[str, str], zone: ZoneFacts, now: dt.datetime) -> ZoneFacts:
        """Add the day on which the zone's fullest volume is full."""
        if zone.said is None or zone.said.volume is None:
            return zone
        day = self._history.full_on((*key, zone.name), now, *zone.said.volume)
        return replace(zone, said=replace(zone.said, full_on=day.isoformat() if day else None))

    @staticmethod
    async def _zone(context: Context, zone: ZoneFacts, ca: str) -> ZoneFacts:
        if not _serves(zone):
            return zone
        reporting = context.spec.reporting
        scheme = "https" if reporting.tls else "http"
        urls = [
            f"{scheme}://{context.names.pod_host(zone.name, ordinal)}:{reporting.port}"
            for ordinal in range(zone.replicas)
        ]
        return replace(zone, said=await probe.ask(urls, ca))


def _serves(zone: ZoneFacts) -> bool:
    return zone.ready >= zone.replicas


def _ended(facts: Facts) -> frozenset[str]:
    return frozenset(run.job for run in facts.restores if run.state != "running")
