"""The collector that contract tests talk to: one of our own, or one that the environment names.

``CONTRACT_INGEST_URL``, ``CONTRACT_REPORTING_URL``, ``CONTRACT_CA_FILE`` (empty: do not verify),
``CONTRACT_READ_TOKEN``, ``CONTRACT_ADMIN_TOKEN`` name a running one; its ledger may hold anything,
and it is never cut unless ``CONTRACT_MAY_CUT`` is 1.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.collector.process import CollectorProcess

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Collector:
    """Clients of both listeners; ``admin`` and ``read`` carry their tokens, ``anyone`` none."""

    ingest: httpx.Client
    admin: httpx.Client
    read: httpx.Client
    anyone: httpx.Client
    may_cut: bool
    month: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m}")
    """The month in which the tests began, which may be cut."""

    @property
    def ledger(self) -> str:
        """The id of the live ledger."""
        ledgers = self.read.get("/v1/periods").json()["ledgers"]
        return str(next(entry["id"] for entry in ledgers if entry["state"] == "live"))

    @property
    def last(self) -> int:
        """The live ledger's last position."""
        ledgers = self.read.get("/v1/periods").json()["ledgers"]
        return int(next(entry["last"] for entry in ledgers if entry["state"] == "live"))


def _client(url: str, context: ssl.SSLContext | bool, token: str = "") -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(base_url=url, verify=context, headers=headers, timeout=30)


def _named() -> Collector:
    environ = os.environ
    ca = environ.get("CONTRACT_CA_FILE")
    context: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca) if ca else False
    reporting = environ["CONTRACT_REPORTING_URL"]
    return Collector(
        _client(environ["CONTRACT_INGEST_URL"], context),
        _client(reporting, context, environ["CONTRACT_ADMIN_TOKEN"]),
        _client(reporting, context, environ["CONTRACT_READ_TOKEN"]),
        _client(reporting, context),
        environ.get("CONTRACT_MAY_CUT") == "1",
    )


@pytest.fixture(scope="session")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """One collector for all contract tests."""
    if os.environ.get("CONTRACT_INGEST_URL"):
        yield _named()
        return
    folder = tmp_path_factory.mktemp("contract")
    tokens = folder / "tokens"
    tokens.write_text("# ours\nread reading-token\nadmin admin-token\n")
    process = CollectorProcess(
        folder / "data",
        PANDAS_SECURE="true",
        USAGE_TOKENS_FILE=str(tokens),
        USAGE_KEEPALIVE_REQUESTS="1000000",
    )
    with process:
        context, url = process.trusting(), process.reporting_url
        yield Collector(
            _client(process.ingest_url, context),
            _client(url, context, "admin-token"),
            _client(url, context, "reading-token"),
            _client(url, context),
            may_cut=True,
        )
