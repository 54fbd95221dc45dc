"""Query parameters and bodies of the reporting listener, read with clear errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from usage_collector.errors import InvalidInput
from usage_collector.ledger import Limits, ReceiptFile

if TYPE_CHECKING:
    from aiohttp import web

DEFAULT_LIMITS = Limits(megabytes=18.0, batch_jobs=10_000, realtime_hours=1250.0)


class ReceiptBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a receipt is posted as."""

    state: str
    by: str
    files: list[ReceiptFile]


_read_receipt = msgspec.json.Decoder(ReceiptBody).decode


def only(request: web.BaseRequest, *names: str) -> dict[str, str]:
    """The query's parameters; `InvalidInput` for an unknown one or one given twice."""
    found: dict[str, str] = {}
    for name, value in request.query.items():
        if name not in names:
            known = ", ".join(names) or "none"
            raise InvalidInput(f"parameter {name[:40]!r} is not known", f"known here: {known}")
        if name in found:
            raise InvalidInput(f"parameter {name} is given twice", "give it once")
        found[name] = value
    return found


def position(query: dict[str, str], name: str) -> int:
    """A position from the query."""
    text = query.get(name)
    if text is None:
        raise InvalidInput(f"{name} is missing", "positions need both first and last")
    if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) >= 1):
        raise InvalidInput(f"{name} is {text[:40]!r}", "use a whole number from 1")
    return int(text)


def number(query: dict[str, str], name: str, default: int, most: int) -> int:
    """A whole number from 1 to ``most`` from the query."""
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 19 and 1 <= int(text) <= most):
        raise InvalidInput(f"{name} is {text[:40]!r}", f"use a whole number from 1 to {most}")
    return int(text)


def one_of(query: dict[str, str], name: str, default: str, *others: str) -> str:
    """One of a few words from the query."""
    word = query.get(name, default)
    if word not in (default, *others):
        known = " or ".join((default, *others))
        raise InvalidInput(f"{name}: {word[:40]!r} is not possible", f"use {known}")
    return word


def limits(query: dict[str, str]) -> Limits:
    """A cut's limits; what is left out has its default."""
    return Limits(
        megabytes=_positive(query, "megabytes", DEFAULT_LIMITS.megabytes),
        batch_jobs=int(_positive(query, "batch_jobs", DEFAULT_LIMITS.batch_jobs)),
        realtime_hours=_positive(query, "realtime_hours", DEFAULT_LIMITS.realtime_hours),
    )


def _positive(query: dict[str, str], name: str, default: float) -> float:
    text = query.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1e12 or (name == "batch_jobs" and value < 1):
        raise InvalidInput(f"{name} is {text[:40]!r}", "use a number above 0")
    return value


def receipt(body: bytes) -> ReceiptBody:
    """A posted receipt."""
    try:
        return _read_receipt(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(
            f"the receipt cannot be read: {error}",
            'send {"state": "sent", "by": "…", "files": [{"name": "…", "sha256": "…"}]}',
        ) from None
