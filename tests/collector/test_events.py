"""Events: strict JSON in, bytes unchanged, fields read leniently."""

from __future__ import annotations

import contextlib
import hashlib
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.collector.samples import array, event
from usage_collector import events
from usage_collector.errors import InvalidInput, TooLarge, UsageError
from usage_collector.events import Outcome, strict_json

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)
_NAMES = st.sampled_from(
    [
        "event",
        "time_stamp",
        "session_id",
        "contract_id",
        "customer_id",
        "event_specific_data",
        "total_received_duration",
        "job_config",
        "transcription_config",
        "alignment_config",
        "type",
        "language",
    ]
)
_TEXTS = st.sampled_from(["SESSION_ENDED", "2026-10-01T00:00:00Z", "x", "\ud800"]) | st.text()
_NEARLY_EVENTS = st.recursive(
    _TEXTS | st.floats() | st.integers() | st.none() | st.booleans(),
    lambda inner: st.dictionaries(_NAMES, inner, max_size=6) | st.lists(inner, max_size=2),
)
_JUNK = st.text(alphabet='{}[]":,\\ux0129abd"e+-.tfn \t\n').map(str.encode)


def _reference(body: bytes) -> object:
    """What Python's own parser makes of strict JSON; None where it refuses."""
    try:
        return json.loads(body.decode().strip(" \t\r\n"), parse_constant=_refuse, parse_int=float)
    except (ValueError, RecursionError):
        return None


def _refuse(name: str) -> None:
    raise ValueError(name)


@settings(max_examples=400, deadline=None)
@given(st.binary() | _JUNK | _VALUES.map(lambda value: json.dumps(value).encode()))
@example(b'{"a":"\\q"}')
@example(b'{"a":"\\ud800"}')
@example(b'{"event":"\\ud800"}')
@example(b'{"a":1e999,"event":1e999}')
@example(b"[{},{}]]")
@example(b"[{},]")
@example(b"[" * 3000)
@example(b'{"a":' * 3000)
@example(b'{"event_specific_data":{"total_received_duration":' + b"9" * 5000 + b"}}")
def test_any_bytes_are_events_or_an_error_of_ours(body: bytes) -> None:
    """Whatever arrives is parsed, or refused with a `UsageError`; strict JSON decides which."""
    expected = _reference(body)
    try:
        parsed = events.parse(body)
    except UsageError:
        bad = not isinstance(expected, dict)
        assert bad
        assert not (isinstance(expected, list) and all(isinstance(e, dict) for e in expected))
    else:
        assert isinstance(expected, (dict, list))
        for one in parsed:
            assert one.raw in body
            assert one.digest == hashlib.sha256(one.raw).digest()
            assert len(one.transport_id) == 40
            assert one.short_id == one.transport_id[:24]
            assert events.read(one.raw) == one


@settings(max_examples=200, deadline=None)
@given(_NEARLY_EVENTS)
def test_the_fast_way_and_the_careful_way_agree(value: object) -> None:
    """Reading the usual shape quickly gives what reading any shape carefully gives."""
    raw = json.dumps(value).encode()
    with contextlib.suppress(InvalidInput):
        assert events._read(raw, None) == events._read_any(raw, None)


@given(st.lists(st.text(alphabet=" \t\n\r", max_size=3), min_size=8, max_size=8))
def test_raw_bytes_lose_only_the_white_space_around(gaps: list[str]) -> None:
    """White space inside an event stays, that around it goes."""
    inner = f'{{{gaps[0]}"a"{gaps[1]}:{gaps[2]}1{gaps[3]}}}'.encode()
    body = "".join([gaps[4], "[", gaps[5]]).encode() + inner
    body += "".join([gaps[6], ",", gaps[7]]).encode() + inner + b"]\n"
    assert [one.raw for one in events.parse(body)] == [inner, inner]
    assert events.parse(gaps[4].encode() + inner + gaps[5].encode())[0].raw == inner


def test_the_fields_of_a_batch_job() -> None:
    """What counting needs is read from its place."""
    one = events.read(event(5, duration=2.5, session_id="s"))
    assert (one.kind, one.kind_name) == (Outcome.DONE, "TRANSCRIBER_DONE")
    assert (one.session, one.contract, one.customer) == ("s", "0", "Acme")
    assert (one.duration, one.speech, one.implausible) == (2.5, 1.5, False)
    assert (one.mode, one.type, one.language, one.format) == (
        "batch",
        "transcription",
        "en",
        "wav",
    )
    assert one.time == 1_790_812_805_000_000


@pytest.mark.parametrize("unusual", [{}, {"customer_id": 7}, {"x": [{}] * 20_000}])
def test_the_language_of_an_alignment(unusual: dict[str, object]) -> None:
    """It stands in a configuration of its own, and is read whatever else an event holds."""
    config = {"type": "alignment", "alignment_config": {"language": "de"}}
    raw = json.dumps({"event_specific_data": {"job_config": config}, **unusual}).encode()
    one = events.read(raw)
    assert (one.type, one.language, one.operating_point) == ("alignment", "de", "")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T01:00:01.0000019+01:00", 1_000_001),
        ("1970-01-01T00:00:01", 1_000_000),
        ("1969-12-31T23:59:59Z", None),
        ("9998-12-31T23:59:59.999999Z", 253_370_764_799_999_999),
        ("9999-12-31T23:59:59.9999999Z", None),
        ("9999-12-31T23:59:59-05:00", None),
        ("1970-01-01", None),
        ("soon", None),
        (17, None),
        (None, None),
    ],
)
def test_time_stamps(text: object, time: int | None) -> None:
    """Times are read to the microsecond in UTC; what cannot be read is none."""
    assert events.read(event(time_stamp=text)).time == time


@pytest.mark.parametrize(
    ("duration", "implausible"),
    [(0, False), (172800, False), (172801, True), (-1, True), ("2", True), (True, True)],
)
def test_implausible_durations(duration: object, implausible: bool) -> None:
    """A duration outside of 0 to 48 h, or that is no number, is marked."""
    assert events.read(event(duration=duration)).implausible is implausible


def test_a_finished_job_without_a_duration_is_implausible() -> None:
    """Not knowing how long a job was is never the same as zero."""
    assert events.read(event(duration=None)).implausible
    assert not events.read(event(event="SESSION_STATUS", duration=None)).implausible


def test_identities() -> None:
    """Sessions are billed by vendor, contract and session; without one, by the transport id."""
    one, again = events.read(event(1, session_id="s")), events.read(event(2, session_id="s"))
    assert one.identity == again.identity
    assert one.transport_id != again.transport_id
    other = events.read(event(session_id="s", contract_id="00"))
    assert other.identity != one.identity
    foreign = events.read(event(session_id="s", vendor="assemblyai"))
    assert (foreign.vendor, one.vendor) == ("assemblyai", "native")
    assert foreign.identity != one.identity
    assert events.read(event(session_id="s", vendor="native")).identity == one.identity
    for missing in ("", None):
        without = events.read(event(session_id=missing))
        assert without.session is None
        assert without.identity == without.transport_id


def test_the_last_of_duplicate_keys_counts() -> None:
    """Of two members with one name the later is read."""
    assert events.read(b'{"event":"a","event":"SESSION_ENDED"}').kind is Outcome.ENDED


def test_warm_ups_are_known_by_their_contract() -> None:
    """The warm-up contract is recognised as text and as a number."""
    assert events.read(event(contract_id="-77777777777777")).warm_up
    assert events.read(event(contract_id=-77777777777777)).warm_up
    assert not events.read(event(contract_id="7")).warm_up


def test_limits_of_an_array() -> None:
    """A thousand events are taken, one more is too large; errors name the index."""
    assert len(events.parse(array([b"{}"] * 1000))) == 1000
    with pytest.raises(TooLarge):
        events.parse(array([b"{}"] * 1001))
    with pytest.raises(InvalidInput, match="index 1"):
        events.parse(b'[{}, {"a": \xff}]')
    with pytest.raises(InvalidInput, match="index 1"):
        events.parse(b"[{}, []]")


def test_brackets_in_texts_are_no_depth() -> None:
    """Only real nesting counts as depth."""
    strict_json.check_depth(b'{"a":"' + b"[" * 100 + b'\\""}')
    with pytest.raises(InvalidInput, match="deeper"):
        strict_json.check_depth(b"[" * 65)
