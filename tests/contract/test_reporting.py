"""The contract of the reporting listener."""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.collector.samples import array, event

if TYPE_CHECKING:
    import httpx

    from tests.contract.conftest import Collector


@pytest.fixture(scope="module")
def cut(collector: Collector) -> dict[str, Any]:
    """The cut of this month, which can be made once, in files of at most seven jobs."""
    if not collector.may_cut:
        pytest.skip("this collector is not ours to cut")
    raws = [event(i) for i in range(30)]
    collector.ingest.post("/v1/log", content=array(raws)).raise_for_status()
    answer = collector.admin.post(f"/v1/periods/{collector.month}", params={"batch_jobs": 7})
    found: dict[str, Any] = answer.json()
    assert found["count"] >= 30
    return found


def _is_error(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["code"] == status
    assert body["error"]
    return str(body["detail"])


def _package(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return json.loads(gzip.decompress(answer.content))


def test_positions_are_exported_with_their_chain(collector: Collector) -> None:
    """A package of positions carries the hashes before and after, and each hundredth between."""
    raws = [event(i) for i in range(250)]
    before = collector.last
    collector.ingest.post("/v1/log", content=array(raws)).raise_for_status()
    answer = collector.read.get(
        "/v1/export",
        params={"ledger": collector.ledger, "first": before + 1, "last": before + 250},
    )
    assert answer.headers["Content-Type"] == "application/gzip"
    assert "usage-" in answer.headers["Content-Disposition"]
    payload = _package(answer)["payload"]
    head, marks = bytes.fromhex(payload["chain"]["before"]), []
    for position, raw in enumerate(raws, before + 1):
        head = hashlib.sha256(head + hashlib.sha256(raw).digest()).digest()
        if position % 100 == 0:
            marks.append(head.hex())
    assert payload["chain"]["after"] == head.hex()
    assert payload["chain"]["marks"] == marks
    assert payload["count"] == 250


def test_a_window_is_exported_in_order_of_time(collector: Collector) -> None:
    """Both ends are inclusive, order is the events' own time, and an end is its whole second."""
    stamps = ["1999-05-05T10:00:02.5Z", "1999-05-05T12:00:01+02:00", "1999-05-05T10:00:03Z"]
    raws = [event(time_stamp=stamp) for stamp in stamps]
    collector.ingest.post("/v1/log", content=array(raws)).raise_for_status()
    answer = collector.read.get(
        "/v1/export", params={"since": "1999-05-05T10:00:01Z", "until": "1999-05-05T10:00:02Z"}
    )
    payload = _package(answer)["payload"]
    ours = {json.loads(raw)["session_id"]: i for i, raw in enumerate(raws)}
    found = [ours[e["session_id"]] for e in payload["events"] if e["session_id"] in ours]
    assert found == [1, 0]
    assert sum(b - a + 1 for run in payload["positions"] for a, b in run["runs"]) == len(
        payload["events"]
    )


def test_bad_questions_name_the_parameter(collector: Collector) -> None:
    """Wrong dates, positions and names are 400 that say which."""
    for query, word in (
        ("since=yesterday", "since"),
        ("since=2026-02-02&until=2026-02-01", "since"),
        ("first=1", "last"),
        ("first=0&last=1", "first"),
        ("first=2&last=1", "first"),
        ("first=1&last=1&since=2026-02-02", "window"),
        ("sinse=2026-02-02", "sinse"),
        ("since=2026-02-02&since=2026-02-03", "since"),
    ):
        assert word in _is_error(collector.read.get(f"/v1/export?{query}"), 400)
    _is_error(collector.read.get("/v1/export", headers={"Accept": "image/png"}), 400)
    detail = _is_error(collector.admin.post("/v1/periods/2026-01/receipts?dry=1", json={}), 400)
    assert "dry" in detail


def test_positions_that_are_not_kept_are_404_and_name_the_range(collector: Collector) -> None:
    """Outside of what is kept the answer says what is."""
    last = collector.last
    detail = _is_error(collector.read.get(f"/v1/export?first=1&last={last + 1000}"), 404)
    assert str(collector.last) in detail
    _is_error(collector.read.get("/v1/export?ledger=none&first=1&last=1"), 404)


def test_tokens_guard_what_they_should(collector: Collector) -> None:
    """Health, metrics and the proof key are open; cuts and receipts need admin."""
    for path in ("/healthz", "/readyz", "/metrics", "/v1/proof-key"):
        assert collector.anyone.get(path).status_code == 200
    for path in ("/v1/export", "/v1/periods", "/openapi.json"):
        _is_error(collector.anyone.get(path), 401)
        wrong = {"Authorization": "Bearer wrong"}
        _is_error(collector.anyone.get(path, headers=wrong), 401)
    for path in ("/v1/periods/2026-01", "/v1/periods/2026-01/receipts"):
        _is_error(collector.read.post(path), 403)
        _is_error(collector.anyone.post(path), 401)


def test_months_that_have_not_begun_cannot_be_cut(collector: Collector) -> None:
    """A future month is a conflict, no month at all a bad request."""
    _is_error(collector.admin.post("/v1/periods/2999-01"), 409)
    assert "period" in _is_error(collector.admin.post("/v1/periods/soon"), 400)


def test_a_cut_is_fixed_once(collector: Collector, cut: dict[str, Any]) -> None:
    """The same cut comes back whatever arrived since, and its files give the same payloads."""
    assert cut["count"] == sum(file["count"] for file in cut["files"])
    assert all(file["batch_jobs"] <= 7 for file in cut["files"])
    collector.ingest.post("/v1/log", content=event()).raise_for_status()
    assert collector.admin.post(f"/v1/periods/{collector.month}").json() == cut
    file = cut["files"][0]
    query = {name: file[name] for name in ("ledger", "first", "last")}
    first, second = (_package(collector.read.get("/v1/export", params=query)) for _ in range(2))
    assert first == second
    assert first["payload"]["period"] == collector.month
    assert _package(collector.read.get("/v1/export", params={**query, "period": collector.month}))
    beyond = {**query, "last": collector.last, "period": collector.month}
    assert collector.month in _is_error(collector.read.get("/v1/export", params=beyond), 409)
    _is_error(collector.admin.post("/v1/periods/2020-01"), 409)


@pytest.mark.usefixtures("cut")
def test_receipts_are_kept_once(collector: Collector) -> None:
    """A receipt is 201, and again it changes nothing; a bad one names the field."""
    url = f"/v1/periods/{collector.month}/receipts"
    receipt: dict[str, Any] = {
        "state": "exported",
        "by": "contract test",
        "files": [{"name": "usage-x.json.gz", "sha256": "0" * 64}],
    }
    for _ in range(2):
        assert collector.admin.post(url, json=receipt).status_code == 201
    period = next(
        p
        for p in collector.read.get("/v1/periods").json()["periods"]
        if p["period"] == collector.month
    )
    assert [r["by"] for r in period["receipts"]].count("contract test") == 1
    for field, value in (("state", "lost"), ("files", [{"name": "x", "sha256": "y"}]), ("by", 7)):
        assert field in _is_error(collector.admin.post(url, json={**receipt, field: value}), 400)
    _is_error(collector.admin.post("/v1/periods/2020-01/receipts", json=receipt), 404)


@pytest.mark.usefixtures("cut")
def test_sessions_of_a_cut_are_sorted(collector: Collector) -> None:
    """The billing identities come one a line, sorted, with position and duration."""
    answer = collector.read.get(f"/v1/periods/{collector.month}/sessions")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["id"] for line in lines] == sorted(line["id"] for line in lines)
    assert {"id", "ledger", "position", "duration", "time"} == set(lines[0])
    _is_error(collector.read.get("/v1/periods/2020-01/sessions"), 404)


def test_metrics_and_description_are_honest(collector: Collector) -> None:
    """What is promised is there, and every described path exists."""
    text = collector.anyone.get("/metrics").text
    for name in (
        "usage_collector_info",
        "usage_events_total",
        "usage_requests_total",
        "usage_commit_seconds",
        "usage_batch_events",
        "usage_disk_used_bytes",
        "usage_disk_free_bytes",
        "usage_head_position",
        "usage_ledgers",
        "usage_oldest_unreceipted_seconds",
        "usage_certificate_expiry_timestamp_seconds",
        "usage_ledger_damaged",
    ):
        assert f"\n# HELP {name} " in "\n" + text
    described = collector.read.get("/openapi.json").json()
    for path, operations in described["paths"].items():
        if "get" in operations:
            answer = collector.read.get(path.replace("{period}", "2020-01"))
            assert str(answer.status_code) in operations["get"]["responses"]


@pytest.mark.usefixtures("cut")
def test_a_manifest_is_left_for_the_month_after(collector: Collector) -> None:
    """Whoever may cut may leave it, whoever may read may have it; the newest one stays."""
    path = f"/v1/periods/{collector.month}/manifest"
    for text in (b"{}", b'{"revision": 2}'):
        assert collector.admin.put(path, content=gzip.compress(text)).status_code == 204
        answer = collector.read.get(path)
        assert answer.headers["Content-Type"] == "application/gzip"
        assert gzip.decompress(answer.content) == text
    _is_error(collector.anyone.get(path), 401)
    _is_error(collector.anyone.put(path, content=b"x"), 401)
    _is_error(collector.read.put(path, content=b"x"), 403)


@pytest.mark.usefixtures("cut")
def test_what_cannot_be_a_manifest_is_refused(collector: Collector) -> None:
    """Not compressed, too large, of a month that was not cut or is none: what was left stays."""
    path = f"/v1/periods/{collector.month}/manifest"
    collector.admin.put(path, content=gzip.compress(b"{}")).raise_for_status()
    assert "no gzip file" in _is_error(collector.admin.put(path, content=b"{}"), 400)
    assert "no gzip file" in _is_error(collector.admin.put(path, content=b""), 400)
    large = b"\x1f\x8b" + bytes(9 * 1024 * 1024)
    _is_error(collector.admin.put(path, content=large), 413)
    body = gzip.compress(b"{}")
    never = "/v1/periods/2001-01/manifest"
    assert "was not cut" in _is_error(collector.admin.put(never, content=body), 404)
    _is_error(collector.read.get(never), 404)
    _is_error(collector.admin.put("/v1/periods/soon/manifest", content=body), 400)
    assert gzip.decompress(collector.read.get(path).content) == b"{}"
