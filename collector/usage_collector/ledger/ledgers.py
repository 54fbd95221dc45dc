"""All ledgers of one collector: the live one to write to, each of them to read."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from usage_collector.errors import Damaged, NotFound, StorageUnavailable, UsageError
from usage_collector.ledger import book as books
from usage_collector.ledger import head as heads
from usage_collector.ledger import identities, purging, receipts, sqlite
from usage_collector.ledger.book import Book
from usage_collector.ledger.catalog import Catalog, database
from usage_collector.ledger.cuts import Cuts
from usage_collector.ledger.earlier import Earlier
from usage_collector.ledger.pacing import BUSY_SECONDS, Pace
from usage_collector.ledger.reader import Reader
from usage_collector.ledger.space import Space
from usage_collector.ledger.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import apsw

    from usage_collector.ledger.catalog import About, Closing
    from usage_collector.ledger.reader import Billed

_log = logging.getLogger(__name__)

_REST = 3.0
"""How many times as long as a step of purging the writer is left to those who store."""
PROOF_SECONDS = 5.0
"""How long proving that a commit is possible may take."""


@dataclass(frozen=True, slots=True)
class Status:
    """A ledger as it stands; ``began`` in µs, ``first`` is ``last`` + 1 when nothing is kept.

    ``problem`` says why it is closed, or why it cannot be read. ``purged_unsent`` are the runs of
    positions, first and last, that were purged though they were not known to be sent. ``restored``
    says that it came back from a backup, ``lost`` are the runs that did not come back with it,
    ``unsure`` that nobody knows whether anything came after ``last``.
    """

    id: str
    live: bool
    began: int
    first: int
    last: int
    head: bytes
    problem: str | None
    damaged: bool
    readable: bool
    purged_unsent: tuple[tuple[int, int], ...] = ()
    restored: bool = False
    lost: tuple[tuple[int, int], ...] = ()
    unsure: bool = False


class Ledgers:
    """The ledgers of one data folder, which the caller has locked.

    ``now`` is the clock (µs since the Unix epoch); ``observe`` is told the seconds and events of
    each commit.

    Raises:
        StorageUnavailable: there is no ledger yet, and not even an empty one can be made.
    """

    def __init__(
        self,
        folder: Path,
        collector: str,
        zone: str,
        now: Callable[[], int],
        *,
        reserve: int = 0,
        observe: Callable[[float, int], None] = lambda _seconds, _events: None,
    ) -> None:
        self.folder = folder
        self.catalog = Catalog(folder, collector, zone)
        self.cuts = Cuts(folder)
        with suppress(StorageUnavailable):
            self.cuts.heal()
        self.space = Space(folder, reserve)
        self._now = now
        self._closed: dict[str, Status] = {}
        self._damage: dict[str, str] = {}
        self.writer = Writer(self._open_live(), self._replace, self.space, now, observe)
        self.pace = Pace(self._storing, self._is_waited_for)

    @property
    def live(self) -> str:
        """The id of the live ledger."""
        return self.writer.book.ledger

    def _storing(self) -> bool:
        """Whether events are coming in."""
        recent = time.monotonic() - self.writer.committed_at < BUSY_SECONDS
        return recent or self._is_waited_for()

    def _is_waited_for(self) -> bool:
        """Whether somebody waits for events to be stored."""
        return self.writer.waiting > 0

    async def prove(self, recent: float) -> None:
        """Return when a commit worked within the last ``recent`` seconds, or works now.

        Raises:
            StorageUnavailable: it does not.
            Damaged: the live ledger is damaged, and so is the one that took its place.
        """
        if not self.space.full and time.monotonic() - self.writer.committed_at < recent:
            return
        proof = asyncio.wrap_future(self.writer.prove())
        # Unlike a timeout this cancels nothing that the writer may be about to answer.
        if not (await asyncio.wait({proof}, timeout=PROOF_SECONDS))[0]:
            raise StorageUnavailable(
                f"no commit was possible within {PROOF_SECONDS:.0f} s", "look at the volume"
            )
        proof.result()

    def all(self) -> list[Status]:
        """Every ledger, the oldest first."""
        return [self._status(about, closing) for about, closing in self.catalog.all()]

    @contextmanager
    def reader(self, ledger: str | None = None) -> Iterator[Reader]:
        """A reader of that ledger, the live one when left out; `NotFound` when there is none."""
        ledger = ledger or self.live
        if ledger not in {about.id for about, _ in self.catalog.all()}:
            raise NotFound(f"there is no ledger {ledger!r} here", "see GET /v1/periods")
        note = partial(self.distrust, ledger)
        with open_reader(self.catalog.path(ledger), ledger, note) as reader:
            yield reader

    def distrust(self, ledger: str, problem: str) -> None:
        """Somebody who reads found damage; nothing more is written where it was found."""
        if ledger not in self._damage:
            _log.error("ledger %s is damaged: %s", ledger, problem)
        self._damage[ledger] = problem
        if ledger == self.live:
            with suppress(StorageUnavailable):
                self.writer.set_aside(ledger, problem)

    def identities(self, ranges: Iterable[tuple[str, int, int]]) -> Iterator[Billed]:
        """Who was billed in these ranges (ledger, first, last), sorted by identity."""
        return identities.ordered(self._billed(ranges))

    def _billed(self, ranges: Iterable[tuple[str, int, int]]) -> Iterator[Billed]:
        for ledger, first, last in ranges:
            with self.reader(ledger) as reader:
                yield from self.pace.paced(identities.kept(reader, first, last))

    def purge(self, ledger: str, end: int, sent: int) -> None:
        """Purge that ledger's positions up to ``end``, a multiple of 100, for good.

        Those beyond ``sent`` are noted as a gap. Billing identities stay until `forget`.
        """
        self._step_by_step(lambda book: self._purge_step(book, ledger, end, sent))
        self._closed.pop(ledger, None)

    def forget(self, ledger: str, before: int) -> None:
        """Remove that ledger's billing identities received before that time (µs)."""
        with self.reader(ledger) as reader:
            if all(received >= before for _, received in reader.purged_receipts()):
                return
        self._step_by_step(lambda book: self._forget(book, ledger, before))

    def _step_by_step(self, step: Callable[[Book], bool]) -> None:
        """Have the writer take steps until one says that none is left, mostly resting."""
        began = time.monotonic()
        while self.writer.call(step).result():
            time.sleep(_REST * (time.monotonic() - began))
            began = time.monotonic()

    def _purge_step(self, book: Book, ledger: str, end: int, sent: int) -> bool:
        if ledger == book.ledger and end > book.reader.indexed():
            book.file_ids(all_=True)
        with self._to_write(book, ledger) as (connection, reader):
            return purging.step(connection, reader, end, sent)

    def _forget(self, book: Book, ledger: str, before: int) -> bool:
        with self._to_write(book, ledger) as (connection, reader):
            return purging.forget(connection, reader, before)

    @contextmanager
    def _to_write(self, book: Book, ledger: str) -> Iterator[tuple[apsw.Connection, Reader]]:
        if ledger == book.ledger:
            yield book.connection, book.reader
            return
        with sqlite.translated(f"ledger {ledger}"):
            connection = sqlite.open_writer(database(self.catalog.path(ledger)))
        try:
            yield connection, Reader(connection, ledger)
            sqlite.empty_log(connection, f"ledger {ledger}")
        finally:
            connection.close()

    def sent_to(self, ledger: str) -> int:
        """The position up to which every event of that ledger is known to be sent."""
        cuts = self.cuts.all()
        sent = receipts.sent_to(cuts, ledger)
        closing = self.catalog.closing(ledger)
        if closing and closing.restored:
            # What came back of positions that are in no period is in the next one.
            sent = min([sent, *(first - 1 for first, last in receipts.unreported(cuts, ledger)
                                if not _all_lost(closing.lost, first, last))])  # fmt: skip
        return sent

    def oldest_unsent(self) -> int | None:
        """When (µs) the oldest event was received that is not known to be sent; None: all are.

        A ledger that cannot be read is left out: it is known as damaged.

        Raises:
            Damaged: a cut is unreadable, so that nobody knows what was sent.
        """
        oldest = []
        for status in self.all():
            first = max(self.sent_to(status.id) + 1, status.first)
            if first <= status.last:
                with suppress(UsageError), self.reader(status.id) as reader:
                    oldest.append(next(reader.blocks(first, first)).received)
        return min(oldest, default=None)

    def used(self) -> int:
        """Bytes on the disk under the data folder."""
        total = 0
        for path in self.folder.rglob("*"):
            with suppress(FileNotFoundError):
                total += path.stat().st_blocks * 512
        return total

    def returned(self, ledger: str) -> None:
        """A closed ledger came back: what it holds is a duplicate from here on."""
        self._closed.pop(ledger, None)
        self._damage.pop(ledger, None)
        path = database(self.catalog.path(ledger))
        self.writer.call(lambda book: book.earlier.add(ledger, path)).result()

    def flush_head(self) -> None:
        """Make the live ledger's head say where it ends now."""
        self.writer.call(lambda book: book.flush_head()).result()

    def close(self) -> None:
        """Finish what is under way and close the live ledger cleanly."""
        self.writer.close()

    def _open_live(self) -> Book:
        self.catalog.sweep()
        about = self.catalog.live()
        if about is not None:
            try:
                return self._book(about)
            except Damaged as error:
                self.catalog.close(about.id, self._now(), str(error), damaged=True)
        return self._begin()

    def _replace(self, book: Book, reason: str) -> Book:
        if self.catalog.closing(book.ledger) is None:
            self.catalog.close(book.ledger, self._now(), reason, damaged=True)
        fresh = self._begin()
        book.close()
        return fresh

    def _begin(self) -> Book:
        return self._book(self.catalog.create(self._now()))

    def _book(self, about: About) -> Book:
        path = self.catalog.path
        closed = [one.id for one, _ in self.catalog.all() if one.id != about.id]
        earlier = Earlier([(ledger, database(path(ledger))) for ledger in closed])
        return Book(path(about.id), about.id, self.cuts.end(about.id), earlier)

    def _status(self, about: About, closing: Closing | None) -> Status:
        status = self._closed.get(about.id) or inspect(self.catalog.path(about.id), about, closing)
        # What cannot be read may be a passing trouble.
        if closing is not None and status.readable:
            self._closed[about.id] = status
        if about.id in self._damage:
            problem = status.problem or self._damage[about.id]
            return replace(status, damaged=True, problem=problem)
        return status


def _all_lost(lost: Iterable[tuple[int, int]], first: int, last: int) -> bool:
    """Whether all of these positions are among those that are lost."""
    return any(a <= first and last <= b for a, b in lost)


@contextmanager
def open_reader(
    folder: Path, ledger: str, note: Callable[[str], None] | None = None
) -> Iterator[Reader]:
    """A reader of the ledger in that folder; ``note`` is told of damage (see `Reader`)."""
    with sqlite.translated(f"ledger {ledger}"):
        connection = sqlite.open_reader(database(folder))
    reader = Reader(connection, ledger, note)
    try:
        yield reader
    finally:
        reader.close()


def head_of(folder: Path) -> heads.Head | None:
    """The head of the ledger in that folder; None when there is none to be read."""
    return heads.read(folder / books.HEAD)


def inspect(folder: Path, about: About, closing: Closing | None) -> Status:
    """How the ledger in that folder stands; what cannot be read is a problem, not an error."""
    problems = [closing.reason] if closing else []
    damaged = closing is not None and closing.damaged
    found: list[str] = []
    readable = True
    unsent: tuple[tuple[int, int], ...] = ()
    try:
        with open_reader(folder, about.id, found.append) as reader:
            first, last = reader.bounds()
            head = reader.hash_at(last)
            unsent = tuple(reader.purged_unsent())
    except UsageError as error:
        known = heads.read(folder / books.HEAD)
        first, last, head = 1, 0, known.hash if known else b""
        readable = False
        found.insert(0, str(error))
    return Status(
        id=about.id,
        live=closing is None,
        began=about.began,
        first=first,
        last=last,
        head=head,
        problem=next(iter([*problems, *found]), None),
        damaged=damaged or bool(found),
        readable=readable,
        purged_unsent=unsent,
        restored=closing is not None and closing.restored,
        lost=tuple(closing.lost) if closing else (),
        unsure=closing is not None and closing.unsure,
    )
