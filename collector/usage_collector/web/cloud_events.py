"""CloudEvents over HTTP: the three modes of a request, told apart by their headers.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from usage_collector import events
from usage_collector.errors import InvalidInput, UnsupportedEncoding
from usage_collector.events import cloud

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
_PREFIX = "ce-"
_ESCAPED = re.compile(r"\\(.)")


def reader(headers: Mapping[str, str]) -> Callable[[bytes], list[events.Event]]:
    """What makes events of the body of a request with these headers.

    It raises `InvalidInput` and `TooLarge` as the functions of `events` do.

    Raises:
        InvalidInput: a header of the binary mode; names it.
        UnsupportedEncoding: another format than JSON.
    """
    given = headers.get("Content-Type")
    media = (given or "").partition(";")[0].strip().lower()
    if media == STRUCTURED:
        return events.parse_cloud
    if media == BATCH:
        return events.parse_cloud_batch
    if media.startswith("application/cloudevents"):
        raise UnsupportedEncoding(
            f"Content-Type {media[:60]!r} is not known", f"use {STRUCTURED} or {BATCH}"
        )
    attributes = _attributes(headers)
    if given:
        attributes["datacontenttype"] = _clean("Content-Type", given)
    is_json = media.endswith(("/json", "+json")) if media else None
    return lambda body: events.parse_cloud(cloud.embed(attributes, body, is_json))


def _attributes(headers: Mapping[str, str]) -> dict[str, str]:
    attributes: dict[str, str] = {}
    for header, value in headers.items():
        name = header.lower().removeprefix(_PREFIX)
        if name == header.lower():
            continue
        if name in attributes or name in ("data", "data_base64"):
            raise InvalidInput(f"the header {header[:60]} has no place here", "send each once")
        attributes[name] = _decoded(header, value)
    if "specversion" not in attributes:
        raise InvalidInput(
            "the header ce-specversion is missing",
            f"send attributes as ce- headers, or Content-Type {STRUCTURED} or {BATCH}",
        )
    return attributes


def _decoded(header: str, value: str) -> str:
    """Unquoted, then one round of percent-decoding (section 3.1.3.2 of the binding)."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = _ESCAPED.sub(r"\1", value[1:-1])
    try:
        return unquote(_clean(header, value), errors="strict")
    except UnicodeDecodeError:
        raise _no_utf8(header) from None


def _clean(header: str, value: str) -> str:
    """The same value; what is not UTF-8 comes as lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _no_utf8(header) from None
    return value


def _no_utf8(header: str) -> InvalidInput:
    return InvalidInput(f"the header {header[:60]} is not UTF-8", "percent-encode its UTF-8 bytes")
