"""Whether a job or session was counted anywhere in the fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from usage_collector.usage.coverage import Kind, Trouble
from usage_collector.usage.folding import KEY_BYTES

if TYPE_CHECKING:
    from usage_collector.usage.fleet import Fleet

_ENDED = "SELECT 1 FROM sessions WHERE identity = ? AND ended"


def counted(fleet: Fleet, identity: bytes, remembered: int) -> bool | None:
    """Whether any collector has an end of it that counts.

    None where that cannot be told, since one of them was not heard, or has not counted, up to the
    time ``remembered`` (µs).
    """
    # Before it is looked for, which may be learnt in between.
    sources = fleet.sources()
    with fleet.store.reading() as connection:
        rows: list[Any] = connection.execute(_ENDED, (identity[:KEY_BYTES],)).fetchall()
    if rows:
        return True
    known = (_reaches(one, remembered) for source in sources for one in source.troubles)
    return False if fleet.is_listed and all(known) else None


def _reaches(trouble: Trouble, moment: int) -> bool:
    """Whether what was counted up to that moment is known in spite of it."""
    passing = trouble.kind in (Kind.AWAY, Kind.BEHIND)
    # Of what a ledger lost nobody will ever know more.
    return trouble.since is not None and not (passing and trouble.since < moment)
