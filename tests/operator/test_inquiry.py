"""When collectors are asked."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.operator.support import context
from usage_operator import naming, probe
from usage_operator.conditions import Facts, Run, Said, ZoneFacts
from usage_operator.plan import Ref
from usage_operator.reconcile.inquiry import Inquiry
from usage_operator.reconcile.observe import Observed
from usage_operator.settings import Settings

if TYPE_CHECKING:
    import pytest

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
READY = {"conditions": [{"type": "Ready", "status": "True"}]}
FACTS = Facts(generation=1, now=NOW, zones=(ZoneFacts("eu-1a", 1, 1),))
RESTORE = Run("speech-restore-1", "2026-11-21T12:00:00Z", "running")


def test_zones_that_serve_are_asked_while_another_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their volumes take what the other does not; at each resync, and not the Service."""
    asked: list[str] = []

    async def reach(*_: object, **__: object) -> None:
        raise AssertionError("the status knows already why nobody may answer")

    async def ask(urls: list[str], _: str) -> Said:
        asked.extend(urls)
        return Said("1.0", "91%", "1Gi")

    monkeypatch.setattr(probe, "reach", reach)
    monkeypatch.setattr(probe, "ask", ask)
    ours = context()
    seen = Observed(objects={Ref("ConfigMap", ours.names.ca): {"data": {"ca.crt": "a CA"}}})
    inquiry = Inquiry(Settings())
    away = replace(FACTS, zones=(ZoneFacts("eu-1a", 1, 1), ZoneFacts("eu-1b", 2, 1)))
    found = []
    for seconds in (0, 20, 590, 600):
        facts = replace(away, now=NOW + dt.timedelta(seconds=seconds))
        found.append(asyncio.run(inquiry.complete(ours, seen, facts, READY)))
    assert asked == ["https://speech-eu-1a-0.speech-eu-1a.metering.svc:8000"] * 2
    assert [bool(facts.zones[0].said) for facts in found] == [True, False, True, False]
    assert not any(facts.zones[1].said or facts.unreachable for facts in found)


def test_collectors_are_asked_again_when_a_restore_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restored ledger is damaged no more: that is told at once, and asked for once."""
    asked: list[dt.datetime] = []

    async def reach(*_: object, **__: object) -> None:
        return None

    async def ask(*_: object) -> Said:
        asked.append(facts.now)
        return Said()

    monkeypatch.setattr(probe, "reach", reach)
    monkeypatch.setattr(probe, "ask", ask)
    ours = context()
    seen = Observed(objects={Ref("ConfigMap", ours.names.ca): {"data": {"ca.crt": "a CA"}}})
    inquiry = Inquiry(Settings())
    looks = [(0, ()), (10, (RESTORE,)), (20, (replace(RESTORE, state="complete"),))]
    for seconds, restores in [*looks, (30, looks[-1][1])]:
        facts = replace(FACTS, now=NOW + dt.timedelta(seconds=seconds), restores=restores)
        asyncio.run(inquiry.complete(ours, seen, facts, READY))
    assert [(when - NOW).seconds for when in asked] == [0, 20]


def test_a_collector_on_a_replaced_volume_is_asked_until_it_may_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It hears from the others what it lost, seconds after it is ready; nobody waits ten minutes.

    A collector that is added has lost nothing.
    """
    asked: list[int] = []

    async def reach(*_: object, **__: object) -> None:
        return None

    async def ask(*_: object) -> Said:
        asked.append(seconds)
        return Said()

    monkeypatch.setattr(probe, "reach", reach)
    monkeypatch.setattr(probe, "ask", ask)
    ours = context()
    bundle = {Ref("ConfigMap", ours.names.ca): {"data": {"ca.crt": "a CA"}}}
    key, inquiry = (ours.resource.namespace, ours.resource.name), Inquiry(Settings())
    looks = [
        *((0, {"0": "1"}, True), (5, {"0": "1", "1": "2"}, True), (10, {"1": "2"}, False)),
        *((15, {"0": "3", "1": "2"}, False), (90, {"0": "3", "1": "2"}, True)),
        *((95, {"0": "3", "1": "2"}, True), (209, {"0": "3", "1": "2"}, True)),
        *((210, {"0": "3", "1": "2"}, True), (215, {"0": "3", "1": "2"}, True)),
    ]
    expects = []
    for seconds, claims, ready in looks:
        seen = Observed(objects=bundle | dict(map(claim, claims.items())))
        zone = ZoneFacts("eu-1a", 1, int(ready))
        facts = replace(FACTS, now=NOW + dt.timedelta(seconds=seconds), zones=(zone,))
        asyncio.run(inquiry.complete(ours, seen, facts, READY))
        expects.append(ready and inquiry.expects(key, facts.now))
    assert asked == [0, 90, 95, 209, 210]
    assert expects == [False] * 4 + [True] * 3 + [False] * 2


def claim(known: tuple[str, str]) -> tuple[Ref, dict[str, Any]]:
    """Give a collector's claim, by its ordinal and uid."""
    ordinal, uid = known
    name = f"data-speech-eu-1a-{ordinal}"
    metadata = {"name": name, "uid": uid, "labels": {naming.ZONE: "eu-1a"}}
    return Ref("PersistentVolumeClaim", name), {"metadata": metadata}
