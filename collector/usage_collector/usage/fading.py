"""What an index that was made anew cannot know of events that are no longer kept.

Of those a ledger keeps who was billed, for 13 months, and nothing else; one that came back from a
backup has not even that. Another collector that had heard of them knows better.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from usage_collector.usage.coverage import Trouble
from usage_collector.usage.states import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable

    import apsw

    from usage_collector.usage.states import State

NAME = "faded "
"""With the ledger's id behind it: what the note is called in ``meta``."""
NOTES = "SELECT value FROM meta WHERE name GLOB 'faded *'"
_FORGET = "DELETE FROM meta WHERE name = ?"
_encode = msgspec.msgpack.Encoder().encode


class Faded(msgspec.Struct, frozen=True, array_like=True):
    """Up to that position a ledger's events, of between two times (µs), were no longer kept."""

    ledger: str
    position: int
    since: int
    until: int

    @property
    def note(self) -> bytes:
        """As it is kept."""
        return _encode(self)

    @property
    def trouble(self) -> Trouble:
        """What is not known because of it."""
        why = (
            f"ledger {self.ledger}: positions up to {self.position} were gone when the index was "
            "made anew; what is left of them is hours, of 13 months at most, and of no customer"
        )
        return Trouble(why, self.since, self.until)


read = msgspec.msgpack.Decoder(Faded).decode


def learn(connection: apsw.Connection, told: Iterable[State]) -> None:
    """Forget what faded of ledgers of which another collector told, as it turns out, all."""
    rows: list[Any] = connection.execute(NOTES).fetchall()
    ends = {one.ledger: one.position for one in (read(value) for (value,) in rows)}
    for state in told if ends else ():
        if state.position <= ends.get(state.ledger, 0) and state.labels[0] != UNKNOWN:
            del ends[state.ledger]
            connection.execute(_FORGET, (NAME + state.ledger,)).fetchall()
