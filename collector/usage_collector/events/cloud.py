"""CloudEvents 1.0: what identifies one, and the usage event inside.

An event in this form carries `specversion`, `id`, `source` and `type`; what happened is in its
`data`. Kept is the JSON format of the specification, whatever mode it came in.
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

from usage_collector.errors import InvalidInput
from usage_collector.events import crowded, strict_json

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = "1.0"
_REQUIRED = ("specversion", "id", "source", "type")


def origin(value: dict[str, Any]) -> bytes | None:
    """SHA-256 of source and id, each with its length; None for what is no CloudEvent."""
    if _problem(value):
        return None
    parts = [value[name].encode(errors="surrogatepass") for name in ("source", "id")]
    return hashlib.sha256(b"".join(len(p).to_bytes(8, "big") + p for p in parts)).digest()


def check(value: dict[str, Any], index: int | None) -> None:
    """Refuse what is no CloudEvent.

    Raises:
        InvalidInput: names the attribute, and the index in a batch.
    """
    problem = _problem(value)
    if problem is None and "data_base64" in value:
        if "data" in value:
            problem = "data and data_base64 stand beside each other"
        elif _unpacked(value) is None:
            problem = "data_base64 is not base64"
    if problem:
        raise InvalidInput(
            f"{strict_json.place(index)} is no CloudEvent: {problem}",
            f"send CloudEvents {VERSION}, or usage events as they are to /v1/log",
        )


def content(value: dict[str, Any]) -> dict[str, Any]:
    """The usage event in a CloudEvent: its data, with type and time where it lacks its own."""
    data = value.get("data")
    if data is None and (packed := _unpacked(value)) is not None:
        try:
            data = decode(packed, None)
        except InvalidInput:
            data = None
    members = data if isinstance(data, dict) else {}
    kind = members.get("event")
    return {
        **members,
        "event": kind if isinstance(kind, str) and kind else value["type"],
        "time_stamp": members.get("time_stamp") or value.get("time"),
    }


def embed(attributes: Mapping[str, str], data: bytes, is_json: bool | None) -> bytes:
    """The JSON format of an event that came as attributes and data.

    JSON data stands in it byte for byte, other data as base64. ``is_json`` None: nobody knows.

    Raises:
        InvalidInput: data that should be JSON is not.
    """
    parts = [json.dumps(dict(attributes), separators=(",", ":")).encode()[:-1]]
    data = data.strip(strict_json.WHITE_SPACE) if is_json is not False else data
    if is_json is None:
        try:
            decode(data, None)
            is_json = True
        except InvalidInput:
            is_json = False
    elif is_json and data:
        # By itself: it must not bring attributes along.
        decode(data, None)
    if data:
        parts.append(b',"data":' + data if is_json else b',"data_base64":"')
        if not is_json:
            parts += [base64.b64encode(data), b'"']
    return b"".join([*parts, b"}"])


def decode(raw: bytes, index: int | None) -> Any:
    """The value of JSON text; of very much text only the members that are read.

    Raises:
        InvalidInput: it is not strict JSON.
    """
    if crowded.is_crowded(raw):
        strict_json.check_depth(raw, index)
        return crowded.outline(raw, index)
    return strict_json.decode(raw, index)


def _problem(value: dict[str, Any]) -> str | None:
    for name in _REQUIRED:
        if not isinstance(value.get(name), str) or not value[name]:
            return f"{name} is missing, empty or no string"
    if value["specversion"] != VERSION:
        return f"specversion {value['specversion'][:20]!r} is not known"
    # No name of an attribute: a usage event that happens to have such members besides its own.
    if "event_specific_data" in value:
        return "event_specific_data stands beside data, not in it"
    return None


def _unpacked(value: dict[str, Any]) -> bytes | None:
    packed = value.get("data_base64")
    try:
        return base64.b64decode(packed, validate=True) if isinstance(packed, str) else None
    except ValueError:
        return None
