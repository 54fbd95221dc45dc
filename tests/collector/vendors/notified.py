"""A real collector that takes notifications, and asks a server that behaves like AssemblyAI."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx

from tests.collector.process import CollectorProcess, free_port
from tests.collector.vendors.assemblyai import KEY, AssemblyAI, notify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADER = ("x-webhook-secret", "0123456789abcdef")
PATIENCE = 60.0
"""Seconds that anything may take on a busy machine."""


@dataclass
class Setting:
    """A collector that takes notifications, and the API that it asks."""

    api: AssemblyAI
    process: CollectorProcess
    port: int
    since: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d}")

    def notify(self, name: str, status: str = "completed", **query: str) -> list[int]:
        """Send a notification, as often as AssemblyAI would."""
        said = {"transcript_id": name, "status": status}
        return notify(self.url + "?" + urlencode(query), HEADER, said, self.process.trusting())

    def post(self, **options: Any) -> httpx.Response:
        """Send anything to the webhook, once."""
        return httpx.post(self.url, verify=self.process.trusting(), timeout=PATIENCE, **options)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/v1/webhooks/assemblyai"

    def get(self, path: str) -> Any:
        """What the reporting listener says."""
        return httpx.get(self.process.reporting_url + path, timeout=PATIENCE).json()

    def events(self) -> list[dict[str, Any]]:
        """All that is stored."""
        accept = {"Accept": "application/json"}
        answer = httpx.get(self.process.reporting_url + "/v1/export", headers=accept)
        found: list[dict[str, Any]] = answer.json()["payload"]["events"]
        return found

    def pending(self) -> dict[str, str]:
        """What is in the way, by transcript."""
        lines = self.get("/v1/webhooks/pending")["pending"]
        return {line["transcript_id"]: line["problem"] for line in lines}

    def until(self, wanted: dict[str, str]) -> None:
        """Returns once these are pending for what begins so."""
        end = time.monotonic() + PATIENCE
        while True:
            found = self.pending()
            fits = all(found[name].startswith(why) for name, why in wanted.items() if name in found)
            # Null: not all that is stored was looked at, so there may be more.
            whole = wanted or self.get("/v1/periods")["pending"] == 0
            if found.keys() == wanted.keys() and fits and whole:
                return
            assert time.monotonic() < end, found
            time.sleep(0.05)

    def usage(self) -> dict[str, Any]:
        """Usage by customer, with what may be missing, and today's."""
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        # Asking for usage has what was stored counted first.
        said: dict[str, Any] = self.get("/v2/usage?group_by=customer")
        days = self.get(f"/v1/coverage?since={self.since}&until={today}")["days"]
        # A day may end meanwhile.
        counts = [day["count"] for day in days]
        whole = {
            "count": None if None in counts else sum(counts),
            "coverage": min(day["coverage"] for day in days),
            "problems": [problem for day in days for problem in day["problems"]],
        }
        return {**said, "today": whole}

    def metrics(self) -> str:
        """What Prometheus reads."""
        return httpx.get(self.process.reporting_url + "/metrics").text


@contextmanager
def collector(folder: Path, api: AssemblyAI, **variables: str) -> Iterator[Setting]:
    """Runs a collector that takes notifications."""
    (folder / "headers").write_text("X-Webhook-Secret: 0123456789abcdef\n")
    (folder / "key").write_text(KEY + "\n")
    port = free_port()
    process = CollectorProcess(
        folder / "data",
        USAGE_WEBHOOKS_PORT=str(port),
        USAGE_WEBHOOKS_HEADERS_FILE=str(folder / "headers"),
        USAGE_ASSEMBLYAI_KEY_FILE=str(folder / "key"),
        USAGE_ASSEMBLYAI_URL=api.url,
        **variables,
    )
    process.patch("usage_collector.pending.asking.REFUSED_SECONDS", 0.5)
    process.patch("usage_collector.pending.asking.LOOK_SECONDS", 2.0)
    with process.there_since(2 * 86_400):
        yield Setting(api, process, port)
