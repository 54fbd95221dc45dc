"""How many of what, in words for people."""

from __future__ import annotations


def many(number: int, one: str, more: str = "") -> str:
    """`1 event`, `2 events`; ``more`` where an s at the end is not enough."""
    return f"{number} {one if number == 1 else more or one + 's'}"
