"""Whether a job or session was counted anywhere in the fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from usage_collector.usage.folding import KEY_BYTES

if TYPE_CHECKING:
    from usage_collector.usage.fleet import Fleet

_ENDED = "SELECT 1 FROM sessions WHERE identity = ? AND ended"


def counted(fleet: Fleet, identity: bytes) -> bool | None:
    """Whether any collector has an end of it that counts.

    None where that cannot be told, since one of them was never heard, or is still counting.
    """
    # Before it is looked for, which may be learnt in between.
    sources = fleet.sources()
    with fleet.store.reading() as connection:
        rows: list[Any] = connection.execute(_ENDED, (identity[:KEY_BYTES],)).fetchall()
    if rows:
        return True
    whole = fleet.is_listed and all(
        trouble.since is not None for source in sources for trouble in source.troubles
    )
    return False if whole else None
