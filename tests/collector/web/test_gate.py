"""A collector that is emptied before it is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from tests.collector.process import CollectorProcess
from tests.collector.samples import event

if TYPE_CHECKING:
    from pathlib import Path


def test_from_the_answer_on_nothing_is_acknowledged(tmp_path: Path) -> None:
    """Stopped, it refuses events but goes on reporting; started, or restarted, it takes them."""
    tokens = tmp_path / "tokens"
    tokens.write_text("read r\nadmin a\n")
    with CollectorProcess(tmp_path / "data", USAGE_TOKENS_FILE=str(tokens)) as process:
        ingest = httpx.Client(base_url=process.ingest_url, verify=process.trusting())
        reporting = httpx.Client(base_url=process.reporting_url)

        def post(verb: str, token: str = "a") -> httpx.Response:
            headers = {"Authorization": f"Bearer {token}"}
            return reporting.post(f"/v1/ingest/{verb}", headers=headers)

        assert post("stop", "r").status_code == 403
        assert ingest.post("/v1/log", content=event(1)).status_code == 201
        assert post("stop").json() == {"accepting": False}
        refused = ingest.post("/v1/log", content=event(2))
        assert refused.status_code == 503
        assert "emptied" in refused.json()["detail"]
        assert ingest.get("/readyz").status_code == 503
        assert reporting.get("/readyz").status_code == 200
        told = reporting.get("/v1/periods", headers={"Authorization": "Bearer r"}).json()
        assert [(one["last"], one["sent"]) for one in told["ledgers"]] == [(1, 0)]
        assert post("start").json() == {"accepting": True}
        assert ingest.post("/v1/log", content=event(2)).status_code == 201
