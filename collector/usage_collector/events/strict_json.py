"""JSON by RFC 8259 and nothing else, with bounded depth, and arrays taken apart byte for byte."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import msgspec

from usage_collector.errors import InvalidInput

WHITE_SPACE = b" \t\n\r"
MAX_DEPTH = 64
"""Nesting of one event; its own braces are depth 1."""

_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)
_GAP = re.compile(r"[ \t\n\r]*")
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


def place(index: int | None) -> str:
    """How messages call the event at that index of an array."""
    return "the event" if index is None else f"the event at index {index}"


def type_name(value: object) -> str:
    """How messages call a JSON value that is no object."""
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str):
        return "a string"
    return "null" if value is None else "a boolean" if isinstance(value, bool) else "a number"


def decode(raw: bytes, index: int | None = None) -> Any:
    """The value of strict JSON text; of duplicate keys in an object the last counts.

    Raises:
        InvalidInput: what is wrong, with the index of the event.
    """
    check_depth(raw, index)
    try:
        return _DECODER.decode(raw.decode())
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{place(index)} is not UTF-8 at its byte {error.start}", "send UTF-8"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{place(index)} is not JSON: {error}", "send strict JSON") from None


def check_depth(raw: bytes, index: int | None = None) -> None:
    """Refuse what is nested deeper than ``MAX_DEPTH``; cheap where few brackets stand at all."""
    # Asking whether a byte is there at all is ten times as fast as counting it.
    if raw.count(b"{") + (raw.count(b"[") if b"[" in raw else 0) <= MAX_DEPTH:
        return
    depth = 0
    for match in _STRUCTURE.finditer(raw):
        token = match[0]
        if token in (b"{", b"["):
            depth += 1
            if depth > MAX_DEPTH:
                raise InvalidInput(
                    f"{place(index)} is nested deeper than {MAX_DEPTH}", "send flatter events"
                )
        elif token in (b"}", b"]"):
            depth -= 1


def split_array(body: bytes, limit: int) -> list[bytes]:
    """The elements of a JSON array, each byte for byte, at least up to ``limit`` of them.

    Elements may still turn out to be invalid when they are decoded.

    Raises:
        InvalidInput: the array is malformed; names the index where.
    """
    try:
        return [bytes(element) for element in _split(body)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _split_slowly(body, limit)


def _split_slowly(body: bytes, limit: int) -> list[bytes]:
    """The same, one element after the other, so that the first bad one can be named."""
    text = body.decode(errors="surrogateescape")
    elements: list[bytes] = []
    position = _skip(text, text.index("[") + 1)
    if text[position : position + 1] == "]":
        return _ended(text, position, elements)
    while len(elements) < limit:
        start = position
        position = _element_end(text, start, len(elements))
        elements.append(text[start:position].encode(errors="surrogateescape"))
        position = _skip(text, position)
        if text[position : position + 1] == "]":
            return _ended(text, position, elements)
        if text[position : position + 1] != ",":
            raise InvalidInput(
                f"after {place(len(elements) - 1)} stands neither a comma nor the array's end",
                "send strict JSON",
            )
        position = _skip(text, position + 1)
    return elements


def _element_end(text: str, start: int, index: int) -> int:
    try:
        return _DECODER.raw_decode(text, start)[1]
    except RecursionError:
        raise InvalidInput(
            f"{place(index)} is nested deeper than {MAX_DEPTH}", "send flatter events"
        ) from None
    except ValueError as error:
        raise InvalidInput(f"{place(index)} is not JSON: {error}", "send strict JSON") from None


def _ended(text: str, position: int, elements: list[bytes]) -> list[bytes]:
    if _skip(text, position + 1) != len(text):
        raise InvalidInput("something stands after the array's end", "send one array a request")
    return elements


def _skip(text: str, position: int) -> int:
    match = _GAP.match(text, position)
    return match.end() if match else position


def _integer(digits: str) -> int | float:
    # Python refuses to convert thousands of digits; as a float they are at least a number.
    return int(digits) if len(digits) < 300 else float(digits)


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


_DECODER = json.JSONDecoder(parse_constant=_constant, parse_int=_integer)
