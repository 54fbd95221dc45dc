"""CloudEvents: what identifies one, what of it is billed, and the form it is kept in."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collector.samples import event
from usage_collector import events
from usage_collector.errors import InvalidInput, TooLarge, UnsupportedEncoding, UsageError
from usage_collector.events import Outcome, cloud
from usage_collector.web import cloud_events

BASIC = {"specversion": "1.0", "id": "1", "source": "/engine", "type": "speech.usage"}
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def _cloud(data: object = None, **attributes: object) -> bytes:
    given = {} if data is None else {"data": data}
    return json.dumps({**BASIC, **given, **attributes}).encode()


def _one(body: bytes) -> events.Event:
    (one,) = events.parse_cloud(body)
    assert events.read(one.raw) == one
    return one


def test_a_usage_event_in_data_counts_as_it_would_by_itself() -> None:
    """Everything but the transport identity is what the event alone says."""
    raw = event(5, duration=2.5, session_id="s")
    alone, inside = events.read(raw), _one(_cloud(json.loads(raw)))
    assert inside.identity == alone.identity
    skipped = {"raw", "digest", "origin"}
    for name in set(events.Event.__struct_fields__) - skipped:
        assert getattr(inside, name) == getattr(alone, name)


def test_usage_in_base64_counts_too() -> None:
    """JSON that a client packed as binary data is read."""
    raw = event(5, duration=2.5)
    packed = base64.b64encode(raw).decode()
    one = _one(json.dumps({**BASIC, "data_base64": packed}).encode())
    assert (one.kind, one.duration) == (Outcome.DONE, 2.5)
    assert one.time == events.read(raw).time


def test_type_and_time_stand_in_for_what_data_lacks() -> None:
    """A kind known by its type only counts; one without a duration is implausible, never zero."""
    one = _one(_cloud(type="TRANSCRIBER_DONE", time="1970-01-01T00:00:01Z"))
    assert (one.kind, one.time, one.implausible) == (Outcome.DONE, 1_000_000, True)


@pytest.mark.parametrize("data", [None, 7, "x", [], {"context": {}, "event": {"a": 1}}])
def test_unknown_types_are_kept_and_say_nothing_of_usage(data: object) -> None:
    """A CDEvent, or anything else, is kept byte for byte under its type."""
    raw = _cloud(data, type="dev.cdevents.pipelinerun.started.0.2.0", customextension="x")
    one = _one(b" " + raw + b"\n")
    assert one.raw == raw
    assert one.kind is Outcome.OTHER
    assert one.kind_name == "dev.cdevents.pipelinerun.started.0.2.0"


def test_source_and_id_identify_one() -> None:
    """Whatever else differs, source and id say whether it is the same."""
    one = _one(_cloud({"a": 1}))
    assert _one(_cloud({"b": 2}, subject="x")).transport_id == one.transport_id
    assert _one(_cloud({"a": 1}, id="2")).transport_id != one.transport_id
    assert _one(_cloud({"a": 1}, source="/engine1")).transport_id != one.transport_id


@given(_TEXT, _TEXT, _TEXT, _TEXT)
def test_no_two_pairs_of_source_and_id_are_one(a: str, b: str, c: str, d: str) -> None:
    """Equal identities mean equal source and equal id."""
    same = _one(_cloud(source=a, id=b)).transport_id == _one(_cloud(source=c, id=d)).transport_id
    assert same == ((a, b) == (c, d))


def test_sent_again_with_another_time_it_is_billed_once() -> None:
    """Without a session, source and id alone are the billing identity."""
    bare = {"event": "TRANSCRIBER_DONE", "event_specific_data": {"total_received_duration": 3}}
    first = _one(_cloud(bare, time="2026-10-01T00:00:00Z"))
    again = _one(_cloud(bare, time="2026-10-01T00:00:09Z"))
    assert first.identity == again.identity
    assert first.time != again.time


def test_a_usage_event_that_looks_like_one_stays_what_it_is() -> None:
    """At /v1/log, members named as attributes take nothing from an event of ours."""
    raw = json.dumps({**BASIC, **json.loads(event())}).encode()
    one = events.parse(raw)[0]
    assert (one.kind, one.duration, one.origin) == (Outcome.DONE, 2, None)
    with pytest.raises(InvalidInput, match="event_specific_data"):
        events.parse_cloud(raw)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"specversion": "0.3"}, "0.3"),
        ({"specversion": None}, "specversion"),
        ({"id": ""}, "id"),
        ({"source": 7}, "source"),
        ({"type": None}, "type"),
        ({"data_base64": "?"}, "data_base64"),
        ({"data_base64": 7}, "data_base64"),
        ({"data": 1, "data_base64": "eA=="}, "beside"),
    ],
)
def test_what_is_no_cloud_event_is_refused(change: dict[str, object], named: str) -> None:
    """The error names the attribute, and the place in a batch."""
    bad = _cloud(**change)
    with pytest.raises(InvalidInput, match=named):
        events.parse_cloud(bad)
    with pytest.raises(InvalidInput, match="index 1") as caught:
        events.parse_cloud_batch(b"[" + _cloud() + b"," + bad + b"]")
    assert named in caught.value.detail


def test_batches() -> None:
    """A batch is an array of at most 1,000, each kept byte for byte; a single one is none."""
    raws = [_cloud(id=str(n)) for n in range(1000)]
    batch = b"[" + b" , ".join(raws) + b"]"
    assert [one.raw for one in events.parse_cloud_batch(batch)] == raws
    assert events.parse_cloud_batch(b"[]") == []
    with pytest.raises(TooLarge):
        events.parse_cloud_batch(batch[:-1] + b"," + _cloud(id="x") + b"]")
    with pytest.raises(InvalidInput, match="array"):
        events.parse_cloud_batch(_cloud())
    with pytest.raises(InvalidInput, match="array"):
        events.parse_cloud(b"[" + _cloud() + b"]")


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*BASIC, "data", "data_base64", "time"]), _JSON), _JSON)
def test_anything_is_events_or_an_error_of_ours(attributes: dict[str, Any], data: object) -> None:
    """What is taken at the door reads the same ever after; the rest is a `UsageError`."""
    body = json.dumps({**BASIC, "data": data, **attributes}).encode()
    try:
        (one,) = events.parse_cloud(body)
    except UsageError:
        return
    assert one.raw == body
    assert one.origin
    assert events.read(one.raw) == one


@given(_JSON, _TEXT)
def test_the_binary_mode_says_what_the_structured_mode_says(data: object, subject: str) -> None:
    """Attributes and JSON data make the same event; the data stands in it byte for byte."""
    body = json.dumps(data, indent=1).encode()
    raw = cloud.embed({**BASIC, "subject": subject}, b" " + body, is_json=True)
    assert json.loads(raw) == {**BASIC, "subject": subject, "data": data}
    assert body in raw
    assert _one(raw).transport_id == _one(_cloud(data, subject=subject)).transport_id


@given(st.binary(min_size=1))
def test_binary_data_of_any_kind_comes_back(data: bytes) -> None:
    """What is no JSON is kept as base64, and so is what nobody says is JSON."""
    kept = json.loads(_one(cloud.embed(BASIC, data, is_json=False)).raw)
    assert base64.b64decode(kept["data_base64"]) == data
    assert _one(cloud.embed(BASIC, data, is_json=None)).origin


@pytest.mark.parametrize("data", [b'1,"id":"2"', b'{}}{"a":{', b"{", b"\xff"])
def test_data_cannot_bring_attributes_along(data: bytes) -> None:
    """JSON data must be JSON by itself."""
    with pytest.raises(InvalidInput):
        cloud.embed(BASIC, data, is_json=True)
    assert "data_base64" in json.loads(cloud.embed(BASIC, data, is_json=None))


def _sent(body: bytes = b"", **headers: str) -> dict[str, Any]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    binary = {f"ce-{name}": value for name, value in BASIC.items()}
    (one,) = cloud_events.reader({**binary, **given})(body)
    kept: dict[str, Any] = json.loads(one.raw)
    return kept


def test_headers_are_unquoted_and_decoded_once() -> None:
    """Percent signs and quotes as the binding's section 3.1.3.2 says."""
    kept = _sent(Ce_Subject="Euro%20%E2%82%AC%20%F0%9F%98%80", CE_OTHER='"a \\"b\\" %2525"')
    assert kept == {**BASIC, "subject": "Euro € 😀", "other": 'a "b" %25'}


def test_the_content_type_says_what_the_data_is() -> None:
    """JSON of any kind is data, other types are base64, none is found out."""
    assert _sent(b"[1]", Content_Type="application/x+json; charset=utf-8")["data"] == [1]
    assert _sent(b"1", Content_Type="text/plain")["data_base64"] == "MQ=="
    assert _sent(b"1")["data"] == 1
    assert _sent(b"x")["data_base64"] == "eA=="
    assert _sent(Content_Type="application/json")["datacontenttype"] == "application/json"


@pytest.mark.parametrize(
    ("header", "value", "named"),
    [
        ("ce-specversion", "0.3", "0.3"),
        ("ce-id", "", "id"),
        ("ce-data", "1", "ce-data"),
        ("CE-ID", "2", "CE-ID"),
        ("ce-subject", "%ff", "ce-subject"),
        ("ce-subject", "\udcff", "ce-subject"),
    ],
)
def test_bad_headers_are_named(header: str, value: str, named: str) -> None:
    """What cannot be used, or is given twice, is refused."""
    headers = {**{f"ce-{name}": given for name, given in BASIC.items()}, header: value}
    with pytest.raises(InvalidInput, match=named):
        cloud_events.reader(headers)(b"")


def test_requests_that_are_no_cloud_events_are_told_how() -> None:
    """Without attributes 400 with the modes there are; another format is not known."""
    with pytest.raises(InvalidInput, match="ce-specversion"):
        cloud_events.reader({"Content-Type": "application/json"})
    with pytest.raises(UnsupportedEncoding, match="avro"):
        cloud_events.reader({"Content-Type": "application/cloudevents+avro"})
