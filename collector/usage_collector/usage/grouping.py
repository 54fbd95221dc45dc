"""Sums of the day index by any groups: days, months, labels and dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usage_collector.errors import InvalidInput
from usage_collector.usage import crowding
from usage_collector.usage.asking import DATES, DIMENSION, text
from usage_collector.usage.states import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import apsw

    from usage_collector.usage.asking import Query
    from usage_collector.usage.columns import Columns
    from usage_collector.usage.store import Store

    Row = Sequence[str]
    """The values of `LABELS`, and the dimensions."""

Key = tuple[str, ...]
Table = dict[Key, list[int]]
"""Values of the groups to sums: how many, their duration and speech (µs), estimates of these."""
_KEPT = 8


class Groups:
    """The values of some groups that there are, and by the number of a label which of them it has.

    Behind them all is one that stands for nothing: for labels that are not asked for.
    """

    def __init__(
        self,
        labels: Sequence[tuple[int, Row]],
        names: Sequence[str],
        only: Callable[[Row], bool] | None = None,
    ) -> None:
        from usage_collector.usage import columns

        of = [_value(name) for name in names if name not in DATES]
        found = {
            id_: tuple(value(row) for value in of)
            for id_, row in labels
            if only is None or only(row)
        }
        # In their order, so that there is little left to sort.
        self.values = sorted(set(found.values()))
        numbers = {value: number for number, value in enumerate(self.values)}
        self.of = columns.numbered(
            {id_: numbers[value] for id_, value in found.items()},
            max((id_ for id_, _ in labels), default=0) + 1,
            len(numbers),
        )


class Kept:
    """The groups of all labels by what was asked for lately, as long as no label is new."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, ...], tuple[int, Groups]] = {}

    def groups(self, labels: Sequence[tuple[int, Row]], names: Sequence[str]) -> Groups:
        """Those by these names."""
        wanted = tuple(name for name in names if name not in DATES)
        count, groups = self._groups.get(wanted, (-1, None))
        if groups is None or count != len(labels):
            groups = Groups(labels, wanted)
            if len(self._groups) >= _KEPT:
                self._groups.clear()
            self._groups[wanted] = len(labels), groups
        return groups


def grouped(
    connection: apsw.Connection,
    store: Store,
    query: Query,
    names: Sequence[str],
    only: Callable[[Row], bool] | None = None,
) -> Table:
    """The sums by these groups; of the labels ``only`` says, where it does."""
    return tables(connection, store, query, [names], only)[1][0]


def tables(
    connection: apsw.Connection,
    store: Store,
    query: Query,
    groupings: Iterable[Sequence[str]],
    only: Callable[[Row], bool] | None = None,
    most: int = 0,
) -> tuple[int | None, list[Table]]:
    """The same by several groupings, and the first day of which there is anything.

    Raises:
        InvalidInput: there are more than ``most`` groups, where that is not 0.
    """
    from usage_collector.usage import columns

    since = -(2**40) if query.since is None else query.since
    days = columns.read(connection, since, query.until)
    words = store.words
    # Only now, so that all labels of what is read are known.
    labels = list(words.labels.rows.items())
    sums = [
        _Sums(
            names, Groups(labels, names, only) if only else words.kept.groups(labels, names), most
        )
        for names in groupings
    ]
    first = None
    for day, found in days:
        for one in sums:
            one.add(day, found)
        if first is None and sums[0].any:
            first = day
    return first, [one.table() for one in sums]


class _Sums:
    """Sums by one grouping, of days that come in their order."""

    def __init__(self, names: Sequence[str], groups: Groups, most: int) -> None:
        from usage_collector.usage import columns

        self._names = names
        self._dates = [name for name in names if name in DATES]
        self._groups = groups
        self._most = most
        self._table: Table = {}
        self._at: tuple[str, ...] = ()
        self._sums = columns.Sums(len(groups.values))

    def add(self, day: int, found: Columns) -> None:
        """Add the columns of a day."""
        at = tuple(text(day)[: DATES[name]] for name in self._dates)
        if at != self._at:
            self._close()
            self._at = at
        self._sums.add(self._groups.of, found)

    @property
    def any(self) -> bool:
        """Whether there is anything of what was asked for, so far."""
        return bool(self._table) or bool(self._sums)

    def table(self) -> Table:
        """All of them."""
        self._close()
        return self._table

    def _close(self) -> None:
        """Note what the days of one date come to."""
        some, sums = self._sums.take()
        keys = map(self._key(), map(self._groups.values.__getitem__, some))
        self._table.update(zip(keys, sums, strict=True))
        if self._most and len(self._table) > self._most:
            raise InvalidInput(
                f"group_by: that makes more than {self._most} groups",
                "ask for fewer days or groups",
            )

    def _key(self) -> Callable[[Key], Key]:
        """How a key is made of the values of labels at the present date."""
        dates, count = self._at, len(self._dates)
        if list(self._names[:count]) == self._dates:
            return lambda values: (*dates, *values)
        places = {name: place for place, name in enumerate(self._dates)}

        def mixed(values: Key) -> Key:
            rest = iter(values)
            return tuple(dates[places[n]] if n in places else next(rest) for n in self._names)

        return mixed


def _value(name: str) -> Callable[[Row], str]:
    if name.startswith(DIMENSION):
        wanted = name.removeprefix(DIMENSION)
        return lambda row: crowding.value(row[-1], wanted)
    place = LABELS.index(name)
    return lambda row: row[place]
