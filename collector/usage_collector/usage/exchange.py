"""What collectors tell each other of their usage, so that any of them answers for all.

Each asks each other one what is new since it last asked; a number that only grows says where that
was. Whoever is asked for the first time tells all it knows, of others too: so a collector whose
index was lost learns again what is no longer in its own ledgers.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec.structs import astuple

from usage_collector.errors import PeerUnavailable, UsageError
from usage_collector.usage.coverage import Kind, Source, Trouble
from usage_collector.usage.customers import Customer  # noqa: TC001 - decoders read it
from usage_collector.usage.losses import Loss, remembered
from usage_collector.usage.states import State  # noqa: TC001 - decoders read it
from usage_collector.usage.store import Mark
from usage_collector.usage.texts import OWN
from usage_collector.usage.told import Told  # noqa: TC001 - decoders read it

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from usage_collector.usage.registry import Registry
    from usage_collector.usage.store import Store
    from usage_collector.usage.told import Book

_log = logging.getLogger(__name__)

DIGEST = 32
"""Length of a register's digest; behind it stands that of the alerts that were sent."""
PAGE = 5000
"""Rows looked at for one answer, at most."""
PAGE_CHARACTERS = 4_000_000
"""Of their dimensions, after which an answer ends too."""
_SINCE = "SELECT * FROM sessions WHERE seq > ? ORDER BY seq LIMIT ?"
BEGAN, TOLD, LOST = "began ", "told ", "lost "
STALE = 30_000_000
"""A collector that did not answer for this long (µs) is told to be away."""


class News(msgspec.Struct, frozen=True, array_like=True):
    """What a collector answers: its states behind a number, and the number to ask with next.

    ``customers`` are all it knows of, unless the asking one knows just the same; so is ``told``,
    the alerts that were sent.

    ``troubles`` says why what it knows of itself is not all, ``early`` how many events came from
    the future, by day, ``began`` (µs) since when it is there, ``losses`` which collectors it knows
    to have begun anew; ``more``: ask again at once.
    """

    collector: str
    zone: str
    epoch: str
    seq: int
    more: bool
    troubles: list[Trouble]
    early: dict[int, int]
    states: list[State]
    customers: list[Customer]
    told: list[Told] = []
    began: int | None = None
    losses: list[Loss] = []


_decode = msgspec.msgpack.Decoder(News).decode
_encode = msgspec.msgpack.Encoder().encode
_STATES = News.__struct_fields__.index("states")
_decode_told = msgspec.msgpack.Decoder(tuple[list[Trouble], dict[int, int]]).decode
_decode_loss = msgspec.msgpack.Decoder(Loss).decode


def encode(news: News) -> bytes:
    """An answer; a state without dimensions as collectors tell it that know of none yet."""
    told = [one if one.dimensions else astuple(one)[:-1] for one in news.states]
    whole = astuple(news)
    return _encode((*whole[:_STATES], told, *whole[_STATES + 1 :]))


class Asks(Protocol):
    """One other collector."""

    url: str

    def usage_news(self, epoch: str, after: int, *, everything: bool, register: str) -> bytes:
        """Its answer, as it came."""


@dataclass(slots=True)
class Known:
    """How one other collector stands; ``heard`` is when (µs) it last told everything.

    ``began`` is since when it is there: as it says, or when it was added to the list of them.
    """

    url: str
    collector: str = ""
    epoch: str = ""
    seq: int = 0
    heard: int | None = None
    error: str = ""
    zone: str = ""
    troubles: list[Trouble] = field(default_factory=list)
    early: dict[int, int] = field(default_factory=dict)
    began: int | None = None

    @property
    def name(self) -> str:
        """What to call it: its name, or its address while that is not known."""
        return self.collector or self.url

    def source(self, now: int) -> Source:
        """It, with all that is not known of it."""
        troubles = self.troubles
        # Our clock may have been wrong when it was heard: then nobody knows when that was.
        ahead = self.heard is not None and self.heard > now + STALE
        if self.heard is None or ahead or now - self.heard > STALE:
            why = self.error or "it was not asked yet"
            since = None if ahead else self.began if self.heard is None else self.heard
            troubles = [*troubles, Trouble(why, since, kind=Kind.AWAY)]
        return Source(self.name, self.zone, troubles, self.early, self.began)


class Exchange:
    """Asks the other collectors; the epoch of our own index tells us from them."""

    def __init__(
        self, store: Store, registry: Registry, book: Book, now: Callable[[], int]
    ) -> None:
        self._store = store
        self._registry = registry
        self._book = book
        self._now = now
        self._known: dict[str, Known] = {}
        # Each other collector is asked by a thread of its own, and several may tell of one loss.
        self._learning = threading.Lock()
        self.recall()

    def recall(self) -> None:
        """Go on from where the index says."""
        self._epoch = self._store.epoch
        rows = self._store.rows("SELECT url, collector, epoch, seq, heard, zone FROM peers")
        self._known = {
            url: Known(url, collector, epoch, seq, heard, zone=zone)
            for url, collector, epoch, seq, heard, zone in rows
        }
        self._listed: set[str] = set()
        self._losses: dict[tuple[str, int], Loss] = {}
        for name, value in self._store.rows("SELECT name, value FROM meta"):
            if name.startswith(BEGAN):
                url = name.removeprefix(BEGAN)
                self._listed.add(url)
                self.known(url).began = value
            elif name.startswith(TOLD):
                known = self.known(name.removeprefix(TOLD))
                known.troubles, known.early = _decode_told(value)
            elif name.startswith(LOST):
                loss = _decode_loss(value)
                self._losses[loss.collector, loss.anew] = loss

    @property
    def losses(self) -> list[Loss]:
        """The collectors that are known to have lost what they held."""
        return sorted(self._losses.values())

    def remembered(self, sources: Iterable[Source]) -> list[Source]:
        """These collectors with what they lost."""
        return [remembered(one, self.losses) for one in sources]

    def heard(self) -> list[Source]:
        """Since when all are there that ever told all they had, also those that left since."""
        known = [one for one in self._known.copy().values() if one.heard is not None]
        return self.remembered(Source(one.name, one.zone, [], {}, one.began) for one in known)

    def list(self, urls: Collection[str]) -> None:
        """These are all that should exist now; one that joins others that were listed is new.

        Where none of them was, nobody knows since when they are there, until they say so.
        """
        added = [url for url in urls if url not in self._listed]
        if added:
            self._note(added, self._now() if self._listed.intersection(urls) else None)
            self._listed.update(added)

    def _note(self, urls: Iterable[str], began: int | None) -> None:
        marks = [Mark.note(BEGAN + url, began) for url in urls]
        self._store.fold([], self._now(), own=False, marks=marks, epoch=self._epoch)
        for url in urls:
            self.known(url).began = began

    def known(self, url: str) -> Known:
        """How the collector at that address stands."""
        return self._known.setdefault(url, Known(url))

    def is_self(self, url: str) -> bool:
        """Whether that address turned out to be our own."""
        epoch = self._store.epoch
        return bool(epoch) and self.known(url).epoch == epoch

    def ask(self, peer: Asks) -> None:
        """Take in all that is new there; trouble is noted, not raised."""
        known = self.known(peer.url)
        try:
            while self._page(peer, known):
                pass
            known.error = ""
        except UsageError as error:
            if known.error != str(error):
                _log.warning("usage of %s is not up to date: %s", known.name, error)
            known.error = str(error)

    def _page(self, peer: Asks, known: Known) -> bool:
        began = self._now()
        answer = peer.usage_news(
            known.epoch,
            known.seq,
            everything=known.heard is None,
            # One parameter for both: collectors of the version before know no other.
            register=self._registry.register.digest + self._book.digest,
        )
        try:
            news = _decode(answer)
            heard = known.heard if news.more else began
            marks = [Mark.peer(peer.url, news.collector, news.epoch, news.seq, heard, news.zone)]
            if news.epoch == self._store.epoch:
                if news.collector != self._registry.collector:
                    raise PeerUnavailable(
                        f"{news.collector} has a copy of this collector's volume",
                        "begin one of the two with an empty volume",
                    )
                known.epoch = news.epoch
                return False
            if news.began not in (None, known.began):
                marks.append(Mark.note(BEGAN + peer.url, news.began))
            told = (news.troubles, news.early)
            if told != (known.troubles, known.early):
                # It may be away after our next start, and lack the same.
                marks.append(Mark.note(TOLD + peer.url, _encode(told)))
            with self._learning:
                losses = self._changed([*news.losses, *_lost(known, news)])
                for (collector, anew), loss in losses.items():
                    marks.append(Mark.note(f"{LOST}{collector} {anew}", _encode(loss)))
                if news.states or news.seq != known.seq or len(marks) > 1:
                    self._store.fold(news.states, began, own=False, marks=marks, epoch=self._epoch)
                # As a whole, for others may be listing them.
                self._losses = self._losses | losses
            self._registry.join(news.customers)
            self._book.join(news.told)
        except (msgspec.MsgspecError, OverflowError, UnicodeError) as error:
            raise PeerUnavailable(
                f"{peer.url} gave no answer of a collector: {error}", "upgrade both to one version"
            ) from None
        known.collector, known.epoch, known.seq = news.collector, news.epoch, news.seq
        known.zone, known.troubles, known.early = news.zone, news.troubles, news.early
        known.began = known.began if news.began is None else news.began
        if not news.more:
            known.heard = began
        return news.more

    def _changed(self, told: Iterable[Loss]) -> dict[tuple[str, int], Loss]:
        """What is new in these, by collector and when it began anew."""
        found: dict[tuple[str, int], Loss] = {}
        for one in told:
            key = (one.collector, one.anew)
            known = self._losses.get(key)
            merged = one.merged(found.get(key, known))
            if merged != known:
                found[key] = merged
        return found


def _lost(known: Known, news: News) -> list[Loss]:
    """What a collector says without knowing it: that it lost what it held before.

    What it lacked when it was heard last it lacks for good, such as events that were not counted.
    """
    began, anew = known.began, news.began
    if known.collector != news.collector or known.epoch == news.epoch:
        return []
    if known.heard is None or began is None or anew is None or anew <= began:
        return []
    gaps = [one for one in known.troubles if one.until is not None]
    lasting = [one.since for one in known.troubles if one.until is None]
    heard = min([known.heard, *(began if since is None else since for since in lasting)])
    return [Loss(news.collector, anew, heard, began, gaps)]


def news(
    store: Store, epoch: str, after: int, *, everything: bool
) -> tuple[int, bool, list[State]]:
    """What is new here for somebody who knows this epoch's states up to the number ``after``.

    The number to ask with next, whether there is more, and the states.
    """
    if epoch != store.epoch:
        after = 0
    seq, looked, size = after, 0, 0
    states: list[State] = []
    with store.reading() as connection:
        found: Iterable[Any] = connection.execute(_SINCE, (after, PAGE))
        for row in found:
            seq, looked = row[0], looked + 1
            if everything or row[OWN]:
                states.append(store.words.state(row))
                size += len(states[-1].dimensions)
            if size >= PAGE_CHARACTERS:
                break
    return seq, looked == PAGE or size >= PAGE_CHARACTERS, states
