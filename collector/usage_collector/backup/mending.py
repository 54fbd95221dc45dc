"""Which files of a backup are no longer what was taken, so that they can be fetched again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usage_collector.backup.reading import opened
from usage_collector.errors import Damaged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from usage_collector.backup.index import Index, Kept, Stored
    from usage_collector.backup.sealing import Key
    from usage_collector.backup.stores import Store

_CHUNK = 256 * 1024


def broken(store: Store, index: Index, key: Key | None) -> Iterator[Stored | Kept]:
    """Those that are missing or altered, when the last proof found anything at all.

    Reading all of it takes as long as a proof does, which follows in the same run.
    """
    if index.verified and not index.verified.ok:
        every: tuple[Stored | Kept, ...] = (*index.packages, *index.manifests)
        yield from (one for one in every if not _whole(store, index, one, key))


def _whole(store: Store, index: Index, one: Stored | Kept, key: Key | None) -> bool:
    try:
        with opened(store, index, one, key) as file:
            while file.read(_CHUNK):
                pass
    except Damaged:
        return False
    return True
