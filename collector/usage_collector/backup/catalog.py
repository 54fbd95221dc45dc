"""A backup's indexes in its place: the one of the scheduled backup, and the tail's beside it.

Each has one writer. What a scheduled backup names lies in ``packages/`` and is for good; the tail
holds in ``tail/`` what came since, and lets go only what the other one holds.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from usage_collector.backup.index import COPY, NAME, TAIL, TAIL_COPY, encode, first_whole, joined
from usage_collector.errors import Damaged, NotFound

if TYPE_CHECKING:
    from usage_collector.backup.index import Index
    from usage_collector.backup.stores import Store

_BASE = (NAME, COPY)
_TAIL = (TAIL, TAIL_COPY)


def load(store: Store) -> Index | None:
    """All that there is of a collector, the tail included; None when there is nothing.

    `Damaged` when no copy of an index is whole.
    """
    # The tail first: what it lets go meanwhile is in the other one by then.
    tail = load_tail(store)
    return joined(load_base(store), tail)


def load_base(store: Store) -> Index | None:
    """What the scheduled backup holds."""
    return _load(store, _BASE)


def load_tail(store: Store) -> Index | None:
    """What came since, where somebody follows the collector."""
    return _load(store, _TAIL)


def save(store: Store, index: Index) -> None:
    """Keeps the scheduled backup's index, twice."""
    _save(store, index, _BASE)


def save_tail(store: Store, index: Index) -> None:
    """Keeps the tail's index, twice."""
    _save(store, index, _TAIL)


def _load(store: Store, names: tuple[str, str]) -> Index | None:
    with suppress(NotFound):
        return first_whole([_content(store, name) for name in names], names[0])
    return None


def _content(store: Store, name: str) -> bytes | None:
    """One copy; where the disk cannot read it the other one has to do."""
    try:
        return store.read(name)
    except Damaged:
        return b""


def _save(store: Store, index: Index, names: tuple[str, str]) -> None:
    data = encode(index)
    for name in names:
        store.write(name, [data])
