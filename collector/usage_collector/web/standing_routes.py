"""Months and backups of all collectors, as whoever is asked finds out from each."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from usage_collector import export, peers, standing
from usage_collector.usage import Missing
from usage_collector.web import note_routes, queries, usage_routes
from usage_collector.web.routing import Route
from usage_collector.web.tokens import Access

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from usage_collector.ledger import Ledgers
    from usage_collector.notes import Notes
    from usage_collector.settings import Settings
    from usage_collector.usage import Fleet

REUSED_SECONDS = 5.0
"""How long an answer is given again: however many ask, each collector is asked this often."""


class Standing:
    """Asks them for whoever asks this collector."""

    def __init__(self, settings: Settings, ledgers: Ledgers, notes: Notes, fleet: Fleet) -> None:
        self._settings = settings
        self._ledgers = ledgers
        self._notes = notes
        self._fleet = fleet
        self._asking = asyncio.Lock()
        self._asked = -REUSED_SECONDS
        self._answer: tuple[bytes, Mapping[str, str]] = (b"", {})

    def routes(self) -> list[Route]:
        """``GET /v1/collectors``."""
        return [
            Route(
                "GET", "/v1/collectors", self.get, Access.READ,
                "Months and backups of all collectors: what was cut, where it is, who lacks it",
                {200: "They; `partial` names collectors that did not answer."},
                errors=(400, 401, 403, 500),
            ),
        ]  # fmt: skip

    async def get(self, request: web.BaseRequest, _: Mapping[str, str]) -> web.Response:
        """What all tell, not older than `REUSED_SECONDS`."""
        queries.only(request)
        async with self._asking:
            if time.monotonic() - self._asked >= REUSED_SECONDS:
                self._answer = await asyncio.to_thread(self._ask)
                self._asked = time.monotonic()
        return usage_routes.compressed(*self._answer)

    def _ask(self) -> tuple[bytes, Mapping[str, str]]:
        others = self._fleet.others()
        told, silent = standing.ask({url: partial(self._tell, url) for url in others})
        missing = [Missing(others[url], reason, None) for url, reason in silent.items()]
        if problem := self._fleet.members.problem:
            missing.append(Missing("unknown", problem, None))
        answered = standing.answer([self._own(), *told])
        headers = usage_routes.partial(answered, missing)
        return msgspec.json.encode(answered), headers

    def _tell(self, url: str) -> standing.Told:
        with self._fleet.members.connect(url) as peer:
            return standing.Told(peer.status(peers.BRIEFLY), peer.notes(peers.BRIEFLY))

    def _own(self) -> standing.Told:
        name, zone = self._settings.name, self._settings.zone
        periods = export.describe_periods(self._ledgers, name, zone)
        periods["losses"] = self._fleet.losses()
        notes = note_routes.described(self._notes, self._ledgers, name)
        return standing.Told(
            peers.read_status(msgspec.json.encode(periods)),
            peers.read_notes(msgspec.json.encode(notes)),
        )
