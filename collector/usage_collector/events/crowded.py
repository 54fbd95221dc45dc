"""JSON of very many values, read without making a Python object of each.

A body of 8 MiB may hold millions of empty arrays, of which Python makes hundreds of MB. Here only
what is asked for is made; the rest is skipped over, though it has to be JSON as well.
"""

from __future__ import annotations

import threading
from typing import Any

import msgspec

from usage_collector.errors import InvalidInput
from usage_collector.events.strict_json import decode, place

MANY = 100_000
"""Values, about, of which Python takes some 10 MB."""

_NONE = msgspec.Raw()


class _Members(msgspec.Struct):
    """What is read of an event, wherever it stands."""

    event: msgspec.Raw = _NONE
    time_stamp: msgspec.Raw = _NONE
    session_id: msgspec.Raw = _NONE
    contract_id: msgspec.Raw = _NONE
    customer_id: msgspec.Raw = _NONE
    source: msgspec.Raw = _NONE
    vendor: msgspec.Raw = _NONE
    event_specific_data: msgspec.Raw = _NONE
    dimensions: msgspec.Raw = _NONE
    specversion: msgspec.Raw = _NONE
    id: msgspec.Raw = _NONE
    time: msgspec.Raw = _NONE
    data: msgspec.Raw = _NONE
    data_base64: msgspec.Raw = _NONE
    total_received_duration: msgspec.Raw = _NONE
    total_speech_duration: msgspec.Raw = _NONE
    format_name: msgspec.Raw = _NONE
    job_config: msgspec.Raw = _NONE
    type: msgspec.Raw = _NONE
    transcription_config: msgspec.Raw = _NONE
    alignment_config: msgspec.Raw = _NONE
    language: msgspec.Raw = _NONE
    operating_point: msgspec.Raw = _NONE


_members = msgspec.json.Decoder(_Members).decode
_skip = msgspec.json.Decoder(msgspec.Raw).decode
_seen = threading.local()


def is_crowded(raw: bytes) -> bool:
    """Whether that JSON text may hold very many values."""
    return len(raw) > MANY and sum(map(raw.count, (b",", b"[", b"{"))) > MANY


def outline(raw: bytes, index: int | None) -> Any:
    """The value of JSON text with nothing in it but the members of events that are read.

    Raises:
        InvalidInput: it is not JSON.
    """
    try:
        raw.decode()
        return _outline(raw, index)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{place(index)} is not JSON: {error}", "send strict JSON") from None


def _outline(raw: bytes, index: int | None) -> Any:
    if raw[:1] == b"{":
        members = msgspec.structs.asdict(_members(raw))
        return {name: _read(name, bytes(value), index) for name, value in members.items() if value}
    if raw[:1] == b"[":
        _skip(raw)
        return []
    return decode(raw, index)


def _read(name: str, raw: bytes, index: int | None) -> Any:
    # Only here any names are read, so it is taken whole unless it is what makes the crowd.
    whole = name == "dimensions" and not is_crowded(raw)
    return decode(raw, index) if whole else _outline(raw, index)


class _Element(msgspec.Struct):
    """An object of an array; its members do not matter."""

    def __post_init__(self) -> None:
        _seen.number += 1
        if _seen.number > _seen.limit:
            raise ValueError


_elements = msgspec.json.Decoder(list[_Element]).decode


def has_at_most(body: bytes, limit: int) -> bool:
    """Whether a JSON array has no more than that many elements, all of which must be objects.

    Raises:
        InvalidInput: another kind of element, or no JSON; names the index where.
    """
    _seen.number, _seen.limit = 0, limit
    try:
        body.decode()
        _elements(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if _seen.number > limit:
            return False
        raise InvalidInput(
            f"{place(_seen.number)} is not a JSON object: {error}", "send JSON objects"
        ) from None
    return True
