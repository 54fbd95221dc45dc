"""When collectors are asked what they say of themselves, and whether the Service reaches them."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from usage_operator import probe
from usage_operator.plan import Ref, place
from usage_operator.reconcile import filling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from usage_operator.conditions import Facts, ZoneFacts
    from usage_operator.manifests import Context
    from usage_operator.reconcile.observe import Observed
    from usage_operator.settings import Settings

_HEARS = dt.timedelta(minutes=2)
"""Within this time, mostly within seconds, a collector hears from the others what it lost."""


class Inquiry:
    """Asks when a resource may become Ready, when a restore ended, and else once every resync.

    A collector whose volume was replaced is asked again and again until it may know that.
    Where something is amiss, the zones that serve are asked all the same: their volumes fill
    faster while another is away.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._asked: dict[tuple[str, str], tuple[dt.datetime, frozenset[str]]] = {}
        """When a resource was asked last, and the restores that had ended by then."""
        self._history = filling.History()
        self._claims: dict[tuple[str, str], dict[str, str]] = {}
        self._replaced: dict[tuple[str, str], dt.datetime | None] = {}
        """Resources with a replaced volume, and until when they are asked, once they are Ready."""

    def forget(self, key: tuple[str, str]) -> None:
        """Drop what is known of a resource that is gone."""
        for known in (self._asked, self._claims, self._replaced):
            known.pop(key, None)
        self._history.forget(*key)

    def _notice(self, key: tuple[str, str], seen: Observed) -> None:
        """Take note of the collectors' claims: one of the same name that is another is empty."""
        now = {
            one["metadata"]["name"]: one["metadata"]["uid"]
            for one in seen.of("PersistentVolumeClaim")
            if place(one)
        }
        before = self._claims.get(key, {})
        if any(before.get(name, uid) != uid for name, uid in now.items()):
            self._replaced[key] = None
        self._claims[key] = before | now

    def expects(self, key: tuple[str, str], now: dt.datetime) -> bool:
        """Tell whether a resource that is Ready is to be looked at again soon, to ask more."""
        if key not in self._replaced:
            return False
        until = self._replaced[key] = self._replaced[key] or now + _HEARS
        if now >= until:
            del self._replaced[key]
        return now < until

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
        anew = not was_ready or not ended or key in self._replaced
        return anew or self._old(key, facts.now)

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
        if self._settings.probe:
            self._notice(key, seen)
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
