"""All listeners fuzzed by their own descriptions (schemathesis), against a real process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.collector.process import CollectorProcess, free_port
from tests.collector.samples import array, event

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "5")
"""Requests of each operation and phase; 1000 take about 20 minutes."""


HEADER = "X-Webhook-Secret: 0123456789abcdef"


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """A collector with some events, whose tokens the fuzzer knows."""
    folder = tmp_path_factory.mktemp("fuzzed")
    (folder / "tokens").write_text("admin known\n")
    (folder / "headers").write_text(HEADER)
    (folder / "key").write_text("key")
    with CollectorProcess(
        folder / "data",
        EATS_SECURE="false",
        USAGE_TOKENS_FILE=str(folder / "tokens"),
        USAGE_WEBHOOKS_PORT=str(free_port()),
        USAGE_WEBHOOKS_HEADERS_FILE=str(folder / "headers"),
        USAGE_ASSEMBLYAI_KEY_FILE=str(folder / "key"),
        USAGE_ASSEMBLYAI_URL=f"http://127.0.0.1:{free_port()}",
    ) as process:
        raws = [event(number) for number in range(200)]
        url = process.ingest_url + "/v1/log"
        httpx.post(url, content=array(raws)).raise_for_status()
        yield process


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("listener", ["ingest", "reporting", "webhooks"])
def test_whatever_is_asked_is_answered_as_described(
    fuzzed: CollectorProcess, listener: str, tmp_path: Path
) -> None:
    """No 5xx, no undocumented status or form, no way around a token, and it serves on."""
    urls = {
        "ingest": fuzzed.ingest_url,
        "reporting": fuzzed.reporting_url,
        "webhooks": f"https://127.0.0.1:{fuzzed.environment['USAGE_WEBHOOKS_PORT']}",
    }
    url = urls[listener]
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", url + "/openapi.json"]
    command += ["--header", "Authorization: Bearer known", "--max-examples", EXAMPLES]
    command += ["--header", HEADER, "--tls-verify", "false", "--request-timeout", "120"]
    command += ["--phases", "coverage,fuzzing", "--continue-on-failure", "--no-color"]
    if EXAMPLES == "5":
        command.append("--generation-deterministic")
    if listener == "reporting":
        # Dates and positions that fit each other are more than a schema can say.
        command += ["--exclude-checks", "positive_data_acceptance"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "0 generated" not in done.stdout
    assert httpx.get(fuzzed.reporting_url + "/readyz").status_code == 200
    started = {"Authorization": "Bearer known"}
    httpx.post(fuzzed.reporting_url + "/v1/ingest/start", headers=started).raise_for_status()
    assert httpx.post(fuzzed.ingest_url + "/v1/log", content=event()).status_code == 201
    assert "Traceback" not in fuzzed.log.read_text()
