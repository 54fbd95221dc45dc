"""What answers say of themselves: which collectors are not wholly in them, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from usage_collector.periods import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from usage_collector.usage.asking import Query
    from usage_collector.usage.coverage import Source, Trouble


@dataclass(frozen=True, slots=True)
class Missing:
    """A collector of which not all is known: why, up to when (µs) it is, and from when on again."""

    collector: str
    reason: str
    as_of: int | None
    until: int | None = None

    @classmethod
    def of(cls, source: Source, trouble: Trouble) -> Self:
        """What that trouble of a collector comes to."""
        return cls(source.collector, trouble.reason, trouble.since, trouble.until)

    @property
    def line(self) -> dict[str, object]:
        """As answers list it."""
        as_of, until = (None if at is None else rfc3339(at) for at in (self.as_of, self.until))
        more = {} if until is None else {"until": until}
        return {"collector": self.collector, "reason": self.reason, "as_of": as_of, **more}


def lacking(query: Query, sources: Sequence[Source]) -> list[Missing]:
    """What may be missing from these days."""
    first = 0 if query.since is None else query.since
    return [
        Missing.of(one, trouble)
        for one in sources
        for trouble in one.troubles
        if trouble.touches(first, query.until)
    ]
