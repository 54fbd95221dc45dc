"""CloudEvents as the SDK of the specification sends them, against a real collector."""

from __future__ import annotations

import gzip
import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cloudevents.core.bindings import http
from cloudevents.core.v1.event import CloudEvent

from tests.collector.samples import event
from usage_collector.packages import Trust, verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

    from tests.contract.conftest import Collector

BATCH = {"Content-Type": "application/cloudevents-batch+json"}


def _made(data: Any = None, **attributes: Any) -> CloudEvent:
    basic = {
        "id": str(uuid.uuid4()),
        "source": "/engines/größe 1",
        "type": "dev.cdevents.pipelinerun.started.0.2.0",
        "time": datetime(2026, 10, 1, 0, 0, 5, tzinfo=UTC),
        "datacontenttype": "application/json",
    }
    return CloudEvent(attributes={**basic, **attributes}, data=data)


def _structured(collector: Collector, made: CloudEvent) -> httpx.Response:
    message = http.to_structured_event(made)
    return collector.ingest.post("/v1/events", headers=message.headers, content=message.body)


def _binary(collector: Collector, made: CloudEvent) -> httpx.Response:
    message = http.to_binary_event(made)
    return collector.ingest.post("/v1/events", headers=message.headers, content=message.body)


def _batch(collector: Collector, *made: CloudEvent) -> httpx.Response:
    bodies = [http.to_structured_event(one).body for one in made]
    body = b"[" + b",".join(bodies) + b"]"
    return collector.ingest.post("/v1/events", headers=BATCH, content=body)


_MODES = pytest.mark.parametrize("send", [_structured, _binary, _batch])


def _stored(collector: Collector, position: int) -> Any:
    answer = collector.read.get(
        "/v1/export",
        params={"first": position, "last": position},
        headers={"Accept": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["payload"]["events"]
    return found


@_MODES
def test_each_mode_is_durable_and_comes_back(
    collector: Collector, send: Callable[..., httpx.Response]
) -> None:
    """201 with an empty body, and the same event for the SDK, whichever way it came."""
    before = collector.last
    made = _made({"context": {"id": "x"}, "subject": {"content": "€"}}, subject="a b", custom="%")
    answer = send(collector, made)
    assert (answer.status_code, answer.content) == (201, b"")
    stored = json.dumps(_stored(collector, before + 1)).encode()
    message = http.HTTPMessage({"content-type": "application/cloudevents+json"}, stored)
    back = http.from_structured_event(message)
    assert back.get_attributes() == made.get_attributes()
    assert back.get_data() == made.get_data()


@_MODES
def test_binary_data_is_kept(collector: Collector, send: Callable[..., httpx.Response]) -> None:
    """Data that is no JSON comes back byte for byte."""
    before = collector.last
    made = _made(b"\x00\xff{", datacontenttype="application/octet-stream")
    assert send(collector, made).status_code == 201
    stored = json.dumps(_stored(collector, before + 1)).encode()
    message = http.HTTPMessage({"content-type": "application/cloudevents+json"}, stored)
    assert http.from_structured_event(message).get_data() == b"\x00\xff{"


def test_source_and_id_make_a_duplicate_in_any_mode(collector: Collector) -> None:
    """Sent again, also in another mode or in a batch with itself, it gets no position."""
    made = _made({"a": 1})
    assert _binary(collector, made).status_code == 201
    before = collector.last
    assert _structured(collector, made).status_code == 201
    assert _batch(collector, made, made).status_code == 201
    assert _binary(collector, made).status_code == 201
    assert collector.last == before
    assert _structured(collector, _made({"a": 1})).status_code == 201
    assert collector.last == before + 1


def test_usage_in_cloud_events_is_billed_once(collector: Collector, tmp_path: Path) -> None:
    """A job told as it is and in two CloudEvents counts once; the export verifies and says so."""
    raw = event(7, duration=7, session_id=str(uuid.uuid4()))
    first = collector.last + 1
    assert collector.ingest.post("/v1/log", content=raw).status_code == 201
    for send in (_structured, _binary):
        assert send(collector, _made(json.loads(raw), type="speech.usage")).status_code == 201
    exported = collector.read.get("/v1/export", params={"first": first, "last": first + 2})
    package = tmp_path / "usage.json.gz"
    package.write_bytes(exported.content)
    report = verify([package], Trust())
    assert report.ok
    assert (report.events, report.totals.all.count) == (3, 1)
    assert report.totals.all.duration == 7_000_000


def test_windows_hold_them_by_their_own_time(collector: Collector) -> None:
    """An export by time finds a CloudEvent at its time, that of its data before its own."""
    for data, day in (({"a": 1}, 3), ({"time_stamp": "2031-01-04T00:00:00Z"}, 4)):
        made = _made(data, time=datetime(2031, 1, 3, tzinfo=UTC))
        assert _binary(collector, made).status_code == 201
        window = {"since": f"2031-01-0{day}", "until": f"2031-01-0{day}"}
        answer = collector.read.get("/v1/export", params=window)
        events = json.loads(gzip.decompress(answer.content))["payload"]["events"]
        assert made.get_id() in [one["id"] for one in events]


def _refusal(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status
    body = answer.json()
    assert body["code"] == status
    return str(body["detail"])


def test_what_is_refused_is_named_and_nothing_stored(collector: Collector) -> None:
    """Errors are those of /v1/log: a status, the attribute or header, and what to do."""
    before = collector.last
    post = collector.ingest.post
    good = http.to_structured_event(_made()).body
    batch = b"[" + good + b',{"specversion":"1.0","id":"1","source":"x"}]'
    detail = _refusal(post("/v1/events", headers=BATCH, content=batch), 400)
    assert "index 1" in detail
    assert "type" in detail
    assert "ce-specversion" in _refusal(post("/v1/events", content=event()), 400)
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "x", "ce-type": "y"}
    json_type = {"Content-Type": "application/json"}
    assert "JSON" in _refusal(post("/v1/events", headers=headers | json_type, content=b"{"), 400)
    other = {"Content-Type": "application/cloudevents+avro"}
    assert "avro" in _refusal(post("/v1/events", headers=other, content=b"x"), 415)
    _refusal(post("/v1/events", headers={**BATCH, "Content-Encoding": "br"}, content=b"[]"), 415)
    many = b"[" + b",".join([good] * 1001) + b"]"
    _refusal(post("/v1/events", headers=BATCH, content=many), 413)
    assert collector.last == before


def test_compressed_and_empty_batches_are_taken(collector: Collector) -> None:
    """gzip works as at /v1/log, and no events are no error."""
    before = collector.last
    body = gzip.compress(b"[" + http.to_structured_event(_made()).body + b"]")
    headers = {**BATCH, "Content-Encoding": "gzip"}
    answer = collector.ingest.post("/v1/events", headers=headers, content=body)
    assert answer.status_code == 201
    empty = collector.ingest.post("/v1/events", headers=BATCH, content=b"[]")
    assert empty.status_code == 201
    assert collector.last == before + 1
