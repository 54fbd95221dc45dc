"""What collectors say of themselves, over HTTPS."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import ssl
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from usage_operator.conditions import Lost, Said

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_TIMEOUT = aiohttp.ClientTimeout(total=5)
_AT_ONCE = 16
_AGAIN = 0.5


def _session(ca: str) -> aiohttp.ClientSession:
    """Open a session that trusts the given certificates only, and keeps no connection."""
    context = ssl.create_default_context(cadata=ca)
    connector = aiohttp.TCPConnector(ssl=context, force_close=True, limit=_AT_ONCE)
    return aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)


async def reach(url: str, ca: str, patience: float = 3.0, *, mutual: bool = False) -> str | None:
    """Ask a URL for its readiness; None: it answers 200, else why not.

    ``mutual``: it asks clients for certificates. We have none, so its own must be enough.
    It is asked again for ``patience`` seconds: nodes learn a little later where a Service leads.
    """
    end = time.monotonic() + patience
    while True:
        said = await (_greeting if mutual else _answer)(url, ca)
        if said is None or time.monotonic() >= end:
            return said
        await asyncio.sleep(_AGAIN)


def _silent(url: str, error: Exception) -> str:
    return f"{url} cannot be reached ({error or type(error).__name__})"


async def _answer(url: str, ca: str) -> str | None:
    try:
        async with _session(ca) as session, session.get(url) as response:
            if response.status == 200:
                return None
            return f"{url} answers {response.status}"
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        return _silent(url, error)


async def _greeting(url: str, ca: str) -> str | None:
    """Shake hands only: with TLS 1.3 the server shows its certificate before it asks for ours."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(_TIMEOUT.total):
            context = ssl.create_default_context(cadata=ca)
            _, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=context)
        writer.close()
    except (TimeoutError, OSError, ValueError) as error:
        return _silent(url, error)
    return None


class Admin:
    """Tells collectors whether to take events, as whoever administers them."""

    def __init__(self, ca: str, token: str) -> None:
        self._ca = ca
        self._headers = {"Authorization": f"Bearer {token}"}

    async def start(self, url: str) -> bool:
        """Let a collector take events again; tell whether it does."""
        return isinstance(await self._call(("POST", f"{url}/v1/ingest/start")), dict)

    async def empty(self, url: str) -> dict[str, Any] | str:
        """Let a collector take no more events; give what it holds then, or why it does not say.

        The answer is that of ``GET /v1/periods``.
        """
        return await self._call(("POST", f"{url}/v1/ingest/stop"), ("GET", f"{url}/v1/periods"))

    async def holds(self, url: str) -> dict[str, Any] | None:
        """Give what a collector says of its ledgers; None: it does not say."""
        told = await self._call(("GET", f"{url}/v1/periods"))
        return told if isinstance(told, dict) else None

    async def _call(self, *calls: tuple[str, str]) -> dict[str, Any] | str:
        """Make calls one after the other; give the last one's answer, or what went wrong."""
        found: dict[str, Any] = {}
        try:
            async with _session(self._ca) as session:
                for method, url in calls:
                    async with session.request(method, url, headers=self._headers) as response:
                        if response.status != 200:
                            return f"{url} answers {response.status}"
                        found = await response.json()
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            return f"it does not answer ({error or type(error).__name__})"
        return found


_FIGURES = {
    "usage_disk_used_bytes": "used",
    "usage_disk_free_bytes": "free",
    "usage_ledger_damaged": "damaged",
    "usage_volume_lost_timestamp_seconds": "anew",
    "usage_volume_lost_heard_timestamp_seconds": "heard",
}


@dataclass(slots=True)
class Figures:
    """A collector's metrics; NaN where it did not say, as one of another version may not.

    Bytes used and free, ledgers that are damaged, and of what it lost until when others had
    ``heard`` of it and when it began ``anew`` (s since the Unix epoch; 0: it lost nothing).
    """

    version: str | None = None
    collector: str = ""
    used: float = math.nan
    free: float = math.nan
    damaged: float = math.nan
    heard: float = math.nan
    anew: float = math.nan

    @property
    def lost(self) -> tuple[Lost, ...] | None:
        """It, if it lost what it held; None: it does not say."""
        if math.isnan(self.heard) or math.isnan(self.anew):
            return None
        return (Lost(self.collector, _time(self.heard), _time(self.anew)),) if self.anew else ()


def _time(seconds: float) -> str:
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def read(text: str) -> Figures:
    """Read a collector's metrics."""
    found = Figures()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "usage_collector_info":
                found.version = sample.labels.get("version")
                found.collector = sample.labels.get("collector", "")
            elif sample.name in _FIGURES:
                setattr(found, _FIGURES[sample.name], sample.value)
    return found


def gigabytes(size: float) -> str:
    """Write a size as people read it, in binary units."""
    for unit in ("Ki", "Mi", "Gi"):
        size /= 1024
        if size < 1024:
            return f"{size:.3g}{unit}"
    return f"{size / 1024:.3g}Ti"


def combine(answers: Iterable[str]) -> Said:
    """Put a zone's metrics together: versions, the fullest volume, all damaged ledgers and losses.

    Raises:
        ValueError: an answer is not a collector's.
    """
    versions: set[str] = set()
    fullest, capacity = -1.0, 0.0
    damaged: int | None = None
    lost: tuple[Lost, ...] | None = None
    for one in map(read, answers):
        if not math.isnan(one.damaged):
            damaged = (damaged or 0) + int(one.damaged)
        if one.lost is not None:
            lost = (*(lost or ()), *one.lost)
        if one.version:
            versions.add(one.version)
        total = one.used + one.free
        if total > 0 and one.used / total > fullest:
            fullest, capacity = one.used / total, total
    known = ", ".join(sorted(versions)) or None
    if fullest < 0:
        return Said(known, damaged=damaged, lost=lost)
    volume = (fullest * capacity, capacity)
    return Said(known, f"{fullest:.0%}", gigabytes(capacity), volume, damaged=damaged, lost=lost)


async def ask(urls: Sequence[str], ca: str) -> Said:
    """Ask the collectors of a zone, by the base URLs of their reporting listeners.

    Those that do not answer are left out; that nothing is damaged or lost is not known then.
    """

    async def one(session: aiohttp.ClientSession, url: str) -> str | None:
        try:
            async with session.get(f"{url}/metrics") as response:
                return await response.text() if response.status == 200 else None
        except (TimeoutError, aiohttp.ClientError, OSError):
            return None

    async with _session(ca) as session:
        answers = await asyncio.gather(*(one(session, url) for url in urls))
    try:
        said = combine(answer for answer in answers if answer is not None)
    except ValueError:
        return Said()
    if None in answers:
        return replace(said, damaged=said.damaged or None, lost=said.lost or None)
    return said
