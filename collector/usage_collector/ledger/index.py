"""Which events a ledger holds already: the newest by an index in memory, the others by a table.

Events come in any order of their times, while the table is kept in that order: to file each when
it comes would change as many pages as there are events. So the newest wait in memory until they
are many, and are then filed in order, some with each commit. Nothing is lost with that memory:
``indexed`` in ``meta`` is the position up to which all are filed, and the rest is read again from
the events themselves.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from usage_collector import events
from usage_collector.ledger.blocks import weight

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import apsw

    from usage_collector.ledger.reader import Reader

MAX_RECENT = 32_768
"""Events that wait, about; each takes some 200 bytes of memory, and 5 µs at the next start."""
FILE_SECONDS = 30.0
"""How long they wait at most where few come."""

_ID_BYTES = 24
_KNOWN = f"""
WITH RECURSIVE
n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < length(?1) / {_ID_BYTES}),
asked(id) AS (SELECT substr(?1, 1 + {_ID_BYTES} * i, {_ID_BYTES}) FROM n)
SELECT id FROM asked WHERE EXISTS (SELECT 1 FROM ids WHERE ids.id = asked.id)
"""  # noqa: S608


def entries(reader: Reader, first: int, last: int) -> Iterator[tuple[bytes, int, int | None]]:
    """The rows of ``ids`` for these positions, made from the events: id, position, weight."""
    for position, raw in enumerate(reader.events(first, last), first):
        event = events.read(raw)
        yield event.short_id, position, weight(event)


class _Batch:
    """The events from one position on: where each id is, and what each weighs."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.positions: dict[bytes, int] = {}
        self.weights: list[int | None] = []

    @property
    def last(self) -> int:
        """The last position; one less than the first when there is none."""
        return self.first + len(self.weights) - 1

    def add(self, ids: Sequence[bytes], weights: Sequence[int | None]) -> None:
        """The next ones."""
        self.positions.update(zip(ids, range(self.last + 1, self.last + 1 + len(ids)), strict=True))
        self.weights += weights

    def rows(self, ids: Iterable[bytes]) -> Iterator[tuple[bytes, int, int | None]]:
        """As `entries`, of some of them."""
        for id_ in ids:
            position = self.positions[id_]
            yield id_, position, self.weights[position - self.first]


class _Filter:
    """Tells of most ids that they were never added; each is a bit, found by its SHA-256."""

    def __init__(self) -> None:
        self._bits = bytearray(1 << 21)

    def add(self, ids: Iterable[bytes]) -> None:
        """Remember them."""
        bits = self._bits
        for id_ in ids:
            number = int.from_bytes(id_[8:11], "big")
            bits[number >> 3] |= 1 << (number & 7)

    def may_hold(self, id_: bytes) -> bool:
        """False only for what was never added."""
        number = int.from_bytes(id_[8:11], "big")
        return bool(self._bits[number >> 3] >> (number & 7) & 1)


class Index:
    """The index of the live ledger; used by the one thread that writes.

    Raises:
        Damaged: events that are not filed yet cannot be read.
    """

    def __init__(self, connection: apsw.Connection, reader: Reader, last: int) -> None:
        self._connection = connection
        newest = connection.execute("SELECT max(id) FROM ids").get
        self._newest = self._newest_at_start = newest if isinstance(newest, bytes) else b""
        self._filter = _Filter()
        self._recent = _Batch(reader.indexed() + 1)
        for id_, _, weighed in entries(reader, self._recent.first, last):
            self._recent.add([id_], [weighed])
        self._since = time.monotonic()
        self._filing = _Batch(0)
        self._order: list[bytes] = []
        self._filed = self._written = 0

    def known(self, ids: Sequence[bytes]) -> set[bytes]:
        """Those of the ids that are there already."""
        known = {i for i in ids if i in self._recent.positions or i in self._filing.positions}
        newest = self._newest
        asked = sorted(i for i in ids if i <= newest and i not in known and self._may_be_filed(i))
        if asked:
            rows: Iterable[tuple[bytes]] = self._connection.execute(_KNOWN, (b"".join(asked),))
            known.update(id_ for (id_,) in rows)
        return known

    def _may_be_filed(self, id_: bytes) -> bool:
        """False for what is surely not; the filter knows nothing of what came before this start."""
        return id_ <= self._newest_at_start or self._filter.may_hold(id_)

    def file(self, number: int, *, all_: bool = False) -> bool:
        """File about that many in the transaction under way, if it is time; whether any were."""
        self._written = self._filed
        if not self._order and not self._begin(all_):
            return False
        end = len(self._order) if all_ else min(self._filed + number, len(self._order))
        ids = self._order[self._filed : end]
        self._filter.add(ids)
        # After a crash some of them are there already.
        sql = "INSERT OR IGNORE INTO ids VALUES (?, ?, ?)"
        self._connection.executemany(sql, self._filing.rows(ids)).fetchall()
        if end == len(self._order):
            sql = "UPDATE meta SET value = ? WHERE name = 'indexed'"
            self._connection.execute(sql, (self._filing.last,)).fetchall()
        self._written = end
        return True

    def committed(self, ids: Sequence[bytes] = (), weights: Sequence[int | None] = ()) -> None:
        """What `file` wrote is on the disk, and so are these new events."""
        self._recent.add(ids, weights)
        self._filed = self._written
        if self._order and self._filed == len(self._order):
            self._newest = max(self._newest, self._order[-1])
            self._filing, self._order = _Batch(0), []

    def _begin(self, now: bool) -> bool:
        """Let those that wait be filed, if they are many or old, or ``now``."""
        many = len(self._recent.weights)
        waited = time.monotonic() - self._since
        if not many or not (now or many >= MAX_RECENT or waited >= FILE_SECONDS):
            return False
        self._filing, self._recent = self._recent, _Batch(self._recent.last + 1)
        self._order, self._filed = sorted(self._filing.positions), 0
        self._since = time.monotonic()
        return True
