"""The contract of the ingest listener."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from tests.collector.samples import array, event

if TYPE_CHECKING:
    import httpx

    from tests.contract.conftest import Collector


def _events(collector: Collector, first: int, last: int) -> list[Any]:
    answer = collector.read.get(
        "/v1/export", params={"first": first, "last": last}, headers={"Accept": "application/json"}
    )
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["payload"]["events"]
    return found


def _is_error(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status
    body = answer.json()
    assert body["code"] == status
    assert body["error"]
    return str(body["detail"])


def test_an_event_is_created_with_an_empty_body(collector: Collector) -> None:
    """An acknowledged event is 201 without a body, and can be exported at once."""
    raw = event()
    before = collector.last
    answer = collector.ingest.post("/v1/log", content=raw)
    assert (answer.status_code, answer.content) == (201, b"")
    assert _events(collector, before + 1, before + 1) == [json.loads(raw)]


def test_a_duplicate_is_created_but_stored_once(collector: Collector) -> None:
    """The same bytes again are 201 and get no position."""
    raw = event()
    collector.ingest.post("/v1/log", content=raw)
    before = collector.last
    assert collector.ingest.post("/v1/log", content=b" \n" + raw + b"\t").status_code == 201
    assert collector.ingest.post("/v1/log", content=array([raw, raw])).status_code == 201
    assert collector.last == before


def test_an_event_without_a_time_is_kept_once(collector: Collector) -> None:
    """Without a readable time stamp an event is stored, and a re-send is a duplicate."""
    raw = event(time_stamp="yesterday")
    before = collector.last
    for _ in range(2):
        assert collector.ingest.post("/v1/log", content=raw).status_code == 201
    assert collector.last == before + 1


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)],
)
def test_compressed_bodies_are_understood(collector: Collector, encoding: str, encode: Any) -> None:
    """gzip and zstd bodies are inflated."""
    before = collector.last
    answer = collector.ingest.post(
        "/v1/log",
        content=encode(array([event(1), event(2)])),
        headers={"Content-Encoding": encoding},
    )
    assert answer.status_code == 201
    assert collector.last == before + 2


def test_an_empty_array_is_created(collector: Collector) -> None:
    """No events are no error."""
    assert collector.ingest.post("/v1/log", content=b"[]").status_code == 201


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (b"{", "JSON"),
        (b'{"a":NaN}', "JSON"),
        (b"\xff", "UTF-8"),
        (b"", "JSON"),
        (b"7", "a number"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "deeper"),
    ],
)
def test_one_bad_event_refuses_the_whole_array_and_names_its_index(
    collector: Collector, bad: bytes, word: str
) -> None:
    """Nothing of a request with a bad event is stored; the index counts from 0."""
    before = collector.last
    assert word in _is_error(collector.ingest.post("/v1/log", content=bad), 400)
    answer = collector.ingest.post(
        "/v1/log", content=array([event(), event(), bad or b",", event()])
    )
    assert "index 2" in _is_error(answer, 400)
    assert collector.last == before


def test_depth_64_is_still_taken(collector: Collector) -> None:
    """The outer object is depth 1, and 64 are allowed."""
    deep = b'{"a":' * 64 + b"1" + b"}" * 64
    assert collector.ingest.post("/v1/log", content=deep).status_code == 201


def test_too_many_or_too_large_is_413(collector: Collector) -> None:
    """More than 1,000 events or 8 MiB, inflated or not, are refused."""
    _is_error(collector.ingest.post("/v1/log", content=array([b"{}"] * 1001)), 413)
    large = b'{"a":"' + b"x" * (8 * 1024 * 1024) + b'"}'
    _is_error(collector.ingest.post("/v1/log", content=large), 413)
    for encoding, packed in (
        ("gzip", gzip.compress(large * 20)),
        ("zstd", zstandard.ZstdCompressor().compress(large * 20)),
    ):
        answer = collector.ingest.post(
            "/v1/log", content=packed, headers={"Content-Encoding": encoding}
        )
        _is_error(answer, 413)


def test_encodings_that_are_unknown_or_broken_are_refused(collector: Collector) -> None:
    """An unknown encoding or a list is 415, a broken body 400."""
    for encoding in ("br", "gzip, gzip"):
        answer = collector.ingest.post(
            "/v1/log", content=event(), headers={"Content-Encoding": encoding}
        )
        _is_error(answer, 415)
    for encoding, body in (
        ("gzip", b"no gzip"),
        ("gzip", gzip.compress(event())[:-9]),
        ("zstd", b"no zstd"),
        ("zstd", zstandard.ZstdCompressor().compress(event() * 9)[:-9]),
        ("zstd", zstandard.ZstdCompressor(write_checksum=True).compress(event())[:-1]),
        ("gzip", gzip.compress(event())[:-1]),
        ("zstd", b""),
        ("gzip", b""),
    ):
        answer = collector.ingest.post(
            "/v1/log", content=body, headers={"Content-Encoding": encoding}
        )
        _is_error(answer, 400)


def test_a_zstd_body_of_several_frames_is_one_body(collector: Collector) -> None:
    """Frames follow each other like members of a gzip file, skippable ones too."""
    pack = zstandard.ZstdCompressor(write_checksum=True).compress
    skippable = bytes.fromhex("502a4d18") + (4).to_bytes(4, "little") + b"note"
    body = pack(b"[") + skippable + pack(event()) + pack(b"]")
    before = collector.last
    answer = collector.ingest.post("/v1/log", content=body, headers={"Content-Encoding": "zstd"})
    assert answer.status_code == 201, answer.text
    assert collector.last == before + 1
    many = pack(b"") * 1001
    answer = collector.ingest.post("/v1/log", content=many, headers={"Content-Encoding": "zstd"})
    assert "frames" in _is_error(answer, 400)


def test_a_gzip_body_of_very_many_members_is_refused_at_once(collector: Collector) -> None:
    """Each member costs work without adding a byte, so their number is bounded too."""
    body = gzip.compress(b"") * 300_000 + gzip.compress(event())
    answer = collector.ingest.post("/v1/log", content=body, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 400
    assert "members" in answer.json()["detail"]
    halves = gzip.compress(b"[") + gzip.compress(event()) + gzip.compress(b"]")
    collector.ingest.post(
        "/v1/log", content=halves, headers={"Content-Encoding": "gzip"}
    ).raise_for_status()


def test_errors_have_a_body_everywhere(collector: Collector) -> None:
    """Unknown paths and methods answer with the same kind of body."""
    _is_error(collector.ingest.get("/"), 404)
    answer = collector.ingest.get("/v1/log")
    _is_error(answer, 405)
    assert answer.headers["Allow"] == "POST"
    _is_error(collector.ingest.get("/v1/export"), 404)


def test_health_is_there_too(collector: Collector) -> None:
    """Health and readiness answer on the ingest listener."""
    assert collector.ingest.get("/healthz").status_code == 200
    assert collector.ingest.get("/readyz").status_code == 200


def test_head_answers_as_get_without_a_body(collector: Collector) -> None:
    """What can be got can be asked for with HEAD, and nothing else."""
    collector.ingest.post("/v1/log", content=event()).raise_for_status()
    for path in ("/healthz", "/readyz", "/openapi.json"):
        answer, full = collector.ingest.head(path), collector.ingest.get(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["Content-Length"] == str(len(full.content))
    answer = collector.read.head("/v1/export")
    assert (answer.status_code, answer.content) == (200, b"")
    assert "filename" in answer.headers["Content-Disposition"]
    assert collector.ingest.head("/v1/log").status_code == 405
    assert collector.ingest.post("/healthz").headers["Allow"] == "GET, HEAD"


def test_unknown_kinds_and_fields_are_kept_as_they_are(collector: Collector) -> None:
    """Any object is stored byte for byte, odd numbers and spellings included."""
    raw = b'{ "z" : 1e400,"a":\t[ 1.0 , "\\u00e9" ] , "event":7, "n":%d}' % 10**400
    before = collector.last
    assert collector.ingest.post("/v1/log", content=raw).status_code == 201
    answer = collector.read.get(
        "/v1/export",
        params={"first": before + 1, "last": before + 1},
        headers={"Accept": "application/json"},
    )
    assert raw in answer.content
