"""Packages from the ledgers, read by whoever consumes them, in constant memory."""

from __future__ import annotations

import heapq
from array import array
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from usage_collector.errors import Conflict, Damaged, TooLarge
from usage_collector.export import windows
from usage_collector.ledger import Load, within
from usage_collector.packages import Contents, file_name, gzipped, runs, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from usage_collector.ledger import Filed, Ledgers, Pace, Reader
    from usage_collector.packages import Keys
    from usage_collector.periods import Window


@dataclass(frozen=True, slots=True)
class Package:
    """A package that is about to be written: its name, and its bytes, to be read once.

    `close` gives its readers back, whether it was read to its end or not.
    """

    name: str
    plain: Iterator[bytes]
    close: Callable[[], None]

    def gzipped(self) -> Iterator[bytes]:
        """The bytes as a gzip file."""
        return gzipped(self.plain)


@dataclass(frozen=True, slots=True)
class Exporter:
    """Makes packages of one collector's events."""

    ledgers: Ledgers
    collector: str
    zone: str
    keys: Callable[[], Keys]

    def positions(self, ledger: str | None, first: int, last: int, period: str | None) -> Package:
        """The package of these positions.

        Raises:
            NotFound: no such ledger, or positions that are not kept; names those that are.
            Conflict: the positions do not belong to that period.
        """
        stack = ExitStack()
        with stack:
            reader = stack.enter_context(self.ledgers.reader(ledger))
            within(reader.bounds(), first, last, reader.ledger)
            if period is not None:
                self._check_claim(reader.ledger, first, last, period)
            contents = Contents(
                collector=self.collector,
                zone=self.zone,
                ledger=reader.ledger,
                period=period or self._period(reader.ledger, first, last),
                since=None,
                until=None,
                count=last - first + 1,
                chain=reader.chain(first, last),
                positions=None,
            )
            return self._package(contents, reader.events(first, last), stack.pop_all())

    def window(self, window: Window) -> Package:
        """The package of a window of time, over all ledgers.

        Raises:
            TooLarge: lists windows that fit.
            Damaged: a ledger cannot be read, so that nobody can say what is in the window.
        """
        stack = ExitStack()
        with stack:
            statuses = self.ledgers.all()
            for status in statuses:
                if not status.readable:
                    raise Damaged(
                        f"ledger {status.id} cannot be read: {status.problem}",
                        "export the positions of the other ledgers, which GET /v1/periods lists",
                    )
            readers = [
                stack.enter_context(self.ledgers.reader(status.id))
                for status in statuses
                if status.last >= status.first
            ]
            chosen = _choose(readers, window, self.ledgers.pace)
            if chosen is None:
                moments = self.ledgers.pace.paced(_moments(readers, window))
                parts = windows.split(moments, window)
                raise TooLarge(
                    "the window holds more than 25,000 batch jobs or 5,000 real-time hours",
                    "ask for the windows listed here, one after the other",
                    [part.as_json() for part in parts],
                )
            contents = Contents(
                collector=self.collector,
                zone=self.zone,
                ledger=None,
                period=None,
                since=window.since,
                until=window.until,
                count=len(chosen[0]),
                chain=None,
                positions=runs(
                    (readers[index].ledger, position)
                    for index, position in zip(*chosen, strict=True)
                ),
            )
            return self._package(contents, _fetched(chosen, readers), stack.pop_all())

    def _package(self, contents: Contents, events: Iterable[bytes], stack: ExitStack) -> Package:
        return Package(file_name(contents), write(contents, events, self.keys()), stack.close)

    def _check_claim(self, ledger: str, first: int, last: int, period: str) -> None:
        """A package is signed, so it says nothing of a period that its cut does not say."""
        cut = self.ledgers.cuts.get(period)
        files = [file for file in cut.files if file.ledger == ledger] if cut else []
        if not files or first < files[0].first or files[-1].last < last:
            raise Conflict(
                f"positions {first} to {last} of ledger {ledger} are not all in {period}",
                "leave period out, or see GET /v1/periods for what is in it",
            )

    def _period(self, ledger: str, first: int, last: int) -> str | None:
        """The period of which exactly these positions are a file."""
        for cut in self.ledgers.cuts.all():
            if any((f.ledger, f.first, f.last) == (ledger, first, last) for f in cut.files):
                return cut.period
        return None


_Chosen = tuple["array[int]", "array[int]"]


def _moments(readers: list[Reader], window: Window) -> Iterator[Filed]:
    """All events of the window in order of time."""
    found = [reader.filed(window.since_us, window.until_us) for reader in readers]
    return heapq.merge(*found, key=lambda filed: filed.time)


def _choose(readers: list[Reader], window: Window, pace: Pace) -> _Chosen | None:
    """The window's events as two arrays, index of the ledger and position; None: too many."""
    ledgers, positions = array("H"), array("Q")
    total, instants = Load(), set[int]()
    found = [_numbered(index, reader, window) for index, reader in enumerate(readers)]
    for time, index, position, weight in pace.paced(heapq.merge(*found)):
        total += windows.weighed(weight)
        if len(instants) < 2:
            instants.add(time)
        if len(instants) > 1 and not windows.fits(total):
            return None
        ledgers.append(index)
        positions.append(position)
    return ledgers, positions


def _numbered(
    index: int, reader: Reader, window: Window
) -> Iterator[tuple[int, int, int, int | None]]:
    for filed in reader.filed(window.since_us, window.until_us):
        yield filed.time, index, filed.position, filed.weight


def _fetched(chosen: _Chosen, readers: list[Reader]) -> Iterator[bytes]:
    for index, position in zip(*chosen, strict=True):
        yield readers[index].event(position)
