"""What users add to events to tell their usage apart, such as a project: names and texts.

Transcribers send them as the member ``dimensions``; every parameter of a webhook's address is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST = 32
"""Of one event; those whose names come first count, so that any collector says the same."""
LONGEST = 256
"""Characters of a name or text; what is longer ends in `CUT` there."""
CUT = "…"

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(dict[str, str]).decode


def text(given: Mapping[str, str]) -> str:
    """Dimensions as one text, the same for the same ones: a JSON object, or "" for none."""
    if not given:
        return ""
    kept = {_short(name): _short(given[name]) for name in sorted(given)[:MOST]}
    return _encode(kept).decode()


def read(written: str) -> dict[str, str]:
    """The reverse of `text`."""
    return _decode(written) if written else {}


def _short(said: str) -> str:
    said = said.encode(errors="backslashreplace").decode()
    return said if len(said) <= LONGEST else said[: LONGEST - 1] + CUT
