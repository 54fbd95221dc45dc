"""The page's files: open to all, from nowhere else, and asked for again only when they changed."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.collector.process import CollectorProcess
from usage_collector.web import page

if TYPE_CHECKING:
    from collections.abc import Iterator

PATHS = [route.path for route in page.routes()]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Somebody without a token, at a collector that wants one."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "tokens").write_text("read reader\n")
    tokens = str(folder / "tokens")
    with (
        CollectorProcess(folder / "data", USAGE_TOKENS_FILE=tokens) as process,
        httpx.Client(base_url=process.reporting_url) as client,
    ):
        yield client


@pytest.mark.parametrize("path", PATHS)
def test_every_file_is_open_and_confined(client: httpx.Client, path: str) -> None:
    """No token is needed for what holds no usage, and the browser is told to load nothing else."""
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].endswith("; charset=utf-8")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", PATHS)
def test_a_file_is_sent_once(client: httpx.Client, path: str) -> None:
    """Small, and the second time only that it is still the same."""
    with client.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as answer:
        sent = b"".join(answer.iter_raw())
        assert answer.headers["Content-Encoding"] == "gzip"
        etag = answer.headers["ETag"]
    plain = client.get(path, headers={"Accept-Encoding": "identity"})
    assert gzip.decompress(sent) == plain.content
    assert "Content-Encoding" not in plain.headers
    again = client.get(path, headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Content-Security-Policy"]
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_document_names_only_files_that_are_served(client: httpx.Client) -> None:
    """Nothing inline, nothing from elsewhere, no file that is missing."""
    text = client.get("/").text
    named = set(re.findall(r'(?:src|href)="([^"#]+)"', text))
    for script in files(page).iterdir():
        if script.name.endswith(".js"):
            named |= {
                f"page/{name}" for name in re.findall(r'from "\./(\w+\.js)"', script.read_text())
            }
    assert {"/", *(f"/{name}" for name in named)} == set(PATHS)
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text)


def test_usage_stays_behind_the_token(client: httpx.Client) -> None:
    """What the page shows is not open with it."""
    for path in (
        "/v1/usage/series",
        "/v1/usage/latest",
        "/v1/limits",
        "/v1/coverage",
        "/v1/periods",
    ):
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"Authorization": "Bearer reader"}).status_code == 200


def test_days_are_sent_compressed_to_whoever_takes_that(client: httpx.Client) -> None:
    """A year of them fits a phone's connection; others get the same as it is."""
    since = datetime.now(UTC) - timedelta(days=364)
    for path in ("/v1/usage/series", "/v1/coverage"):
        sent = []
        for encoding in ("gzip", "identity"):
            headers = {"Authorization": "Bearer reader", "Accept-Encoding": encoding}
            query = {"since": f"{since:%Y-%m-%d}"}
            with client.stream("GET", path, params=query, headers=headers) as answer:
                sent.append(b"".join(answer.iter_raw()))
        assert json.loads(gzip.decompress(sent[0])).keys() == json.loads(sent[1]).keys()
        assert len(sent[0]) < len(sent[1]) / (5 if path == "/v1/coverage" else 1)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/v1/usage/series?by=colour", "by"),
        ("/v1/usage/series?top=0", "top"),
        ("/v1/usage/series?top=101", "top"),
        ("/v1/usage/series?since=2026-13-01", "since"),
        ("/v1/usage/series?since=2026-02-02&until=2026-02-01", "since"),
        ("/v1/usage/series?since=2001-01-01", "since"),
        ("/v1/usage/series?depth=1", "depth"),
        ("/v1/usage/latest?count=x", "count"),
    ],
)
def test_what_cannot_be_asked_names_the_parameter(
    client: httpx.Client, path: str, named: str
) -> None:
    """400 with the parameter and what is possible."""
    answer = client.get(path, headers={"Authorization": "Bearer reader"})
    assert answer.status_code == 400
    assert named in answer.json()["detail"]
