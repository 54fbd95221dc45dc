"""Events of very many values are read as all others are, without taking more memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_collector import events
from usage_collector.errors import InvalidInput, TooLarge
from usage_collector.events import crowded

_NAMES = st.sampled_from(["event", "session_id", "event_specific_data", "job_config", "type", "x"])
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)


def _kept(value: Any) -> Any:
    """What an outline keeps."""
    if isinstance(value, dict):
        return {name: _kept(one) for name, one in value.items() if name != "x"}
    return [] if isinstance(value, list) else value


@given(_VALUES, st.sampled_from([None, 2]))
def test_an_outline_has_the_members_that_are_read(value: Any, indent: int | None) -> None:
    """It is the same JSON without what nobody asks for."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    assert crowded.outline(text.encode(), None) == _kept(value)


@given(st.binary(max_size=12) | st.text(alphabet='{}[]",:1a ', max_size=12).map(str.encode))
def test_an_outline_is_refused_where_json_is(text: bytes) -> None:
    """No bytes that are not JSON pass for some."""
    try:
        json.loads(text, parse_constant=lambda name: pytest.fail(name))
    except (ValueError, UnicodeDecodeError):
        with pytest.raises(InvalidInput):
            crowded.outline(text.strip(b" \t\r\n"), None)


@given(st.lists(st.dictionaries(_NAMES, _VALUES, max_size=3), max_size=6), st.integers(0, 6))
def test_elements_are_counted(elements: list[Any], limit: int) -> None:
    """As many objects as there are, whatever is in them."""
    body = json.dumps(elements).encode()
    assert crowded.has_at_most(body, limit) is (len(elements) <= limit)


def _wide(head: bytes, piece: bytes) -> bytes:
    return b"{" + head + b'"x":[' + piece * crowded.MANY + b"1]}"


@pytest.mark.parametrize("piece", [b"[],", b"{},", b"1,"])
def test_a_crowded_event_is_kept_like_any_other(piece: bytes) -> None:
    """Usual or not, its fields are read, and its bytes are its own."""
    usual = _wide(b'"event":"TRANSCRIBER_DONE","session_id":"s",', piece)
    unusual = _wide(b'"event":"TRANSCRIBER_DONE","session_id":7,', piece)
    for raw, session in ((usual, "s"), (unusual, "7")):
        found = events.parse(b"[" + raw + b', {"session_id":"next"}]')
        assert [event.session for event in found] == [session, "next"]
        assert found[0].raw == raw
        assert found[0].kind is events.Outcome.DONE


def test_crowded_bodies_are_refused_with_the_place() -> None:
    """Too many, not objects, no JSON, too deep: each is told with its index."""
    wide = _wide(b"", b"[],")
    with pytest.raises(TooLarge):
        events.parse(b"[" + b"{}," * crowded.MANY + b"{}]")
    for bad in (b"7", b"{", b"[1]", b'{"a":NaN}', b'{"a":' * 5000 + b"1" + b"}" * 5000):
        with pytest.raises(InvalidInput, match="index 1"):
            events.parse(b"[" + wide + b"," + bad + b"]")
    for bad in (wide[:-1], wide + b"}", wide.replace(b"1]", b"\xff]"), b"[" + wide):
        with pytest.raises(InvalidInput):
            events.parse(bad)
