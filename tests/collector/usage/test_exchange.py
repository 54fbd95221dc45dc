"""What is known of another collector from what it told."""

from __future__ import annotations

import gzip
import threading
from typing import TYPE_CHECKING, Any

import msgspec

from tests.collector.samples import event
from usage_collector import events
from usage_collector.ledger import Cut, Limits, Receipt, ReceiptFile
from usage_collector.sessions import Place
from usage_collector.usage import exchange
from usage_collector.usage.coverage import Kind, Trouble
from usage_collector.usage.exchange import STALE, Exchange, News, encode
from usage_collector.usage.losses import Loss, pending, remembered
from usage_collector.usage.registry import Registry
from usage_collector.usage.states import DAY, state
from usage_collector.usage.store import Store
from usage_collector.usage.told import Book

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NOW = 1_800_000_000_000_000
HOUR = DAY // 24
LOST = Trouble("ledger L: it lost its end", 5, 9)


class Told:
    """A collector that says of itself what it lacks."""

    url = "https://b-0"
    troubles: tuple[Trouble, ...] = (LOST,)
    epoch = "epoch"
    began = 1
    losses: tuple[Loss, ...] = ()

    def usage_news(self, epoch: str, after: int, *, everything: bool, register: str) -> bytes:
        return encode(
            News(
                *("b-0", "z", self.epoch, after, False, [*self.troubles], {3: 4}, [], []),
                began=self.began,
                losses=[*self.losses],
            )
        )


def _exchange(folder: Path, store: Store, now: int) -> Exchange:
    return Exchange(store, Registry(folder, "a-0", lambda: now), Book(folder), lambda: now)


def test_what_another_lacks_is_known_after_a_start(tmp_path: Path) -> None:
    """It may be away by then; what it no longer lacks is forgotten as well."""
    store, peer = Store(tmp_path), Told()
    _exchange(tmp_path, store, NOW).ask(peer)
    again = _exchange(tmp_path, store, NOW + 1)
    source = again.known(peer.url).source(NOW + 1)
    assert (source.troubles, source.early) == ([LOST], {3: 4})
    away = again.known(peer.url).source(NOW + STALE + 1)
    assert [one.kind for one in away.troubles] == [Kind.GAP, Kind.AWAY]
    peer.troubles = ()
    again.ask(peer)
    assert _exchange(tmp_path, store, NOW).known(peer.url).source(NOW).troubles == []
    store.close()


def test_one_heard_by_a_wrong_clock_is_away_until_it_answers(tmp_path: Path) -> None:
    """A clock that ran a day ahead hides no collector for a day; nobody knows since when."""
    store, peer = Store(tmp_path), Told()
    peer.troubles = ()
    _exchange(tmp_path, store, NOW + 86_400 * 10**6).ask(peer)
    later = _exchange(tmp_path, store, NOW)
    (trouble,) = later.known(peer.url).source(NOW).troubles
    assert (trouble.kind, trouble.since) == (Kind.AWAY, None)
    later.ask(peer)
    assert later.known(peer.url).source(NOW).troubles == []
    store.close()


def test_one_that_lost_its_volume_was_there_before(tmp_path: Path) -> None:
    """Nobody knows what came after it was heard last; who was not there is told by others."""
    clock, peer = [NOW], Told()
    peer.troubles = ()
    store, elsewhere = Store(tmp_path), tmp_path / "elsewhere"
    exchange = Exchange(
        store, Registry(tmp_path, "a-0", lambda: 0), Book(tmp_path), lambda: clock[0]
    )
    exchange.ask(peer)
    assert exchange.losses == []
    # An index that is made anew loses no events, whatever the clock.
    peer.epoch = "another index"
    exchange.ask(peer)
    assert exchange.losses == []
    clock[0], peer.epoch, peer.began = NOW + DAY, "another volume", NOW + HOUR
    exchange.ask(peer)
    assert exchange.losses == [Loss("b-0", NOW + HOUR, NOW, 1)]
    again = _exchange(tmp_path, store, NOW + DAY)
    assert again.losses == exchange.losses
    source = remembered(again.known(peer.url).source(NOW + DAY), again.losses)
    assert source.began == 1
    assert [(one.kind, one.since, one.until) for one in source.troubles] == [
        (Kind.GAP, NOW, NOW + HOUR)
    ]
    elsewhere.mkdir()
    young, peer.losses = Store(elsewhere), tuple(again.losses)
    other = _exchange(elsewhere, young, NOW + DAY)
    other.ask(peer)
    assert other.losses == again.losses
    assert _exchange(elsewhere, young, NOW + DAY).losses == again.losses
    store.close()
    young.close()


def test_what_one_lacked_before_it_lost_its_volume_stays_unknown(tmp_path: Path) -> None:
    """It had not counted all, and lost ends of ledgers: now it knows of neither."""
    clock, peer = [NOW], Told()
    behind = Trouble("not all events are counted yet", NOW - HOUR, kind=Kind.BEHIND)
    peer.troubles = (LOST, behind)
    store = Store(tmp_path)
    first = Exchange(store, Registry(tmp_path, "a-0", lambda: 0), Book(tmp_path), lambda: clock[0])
    first.ask(peer)
    clock[0], peer.epoch, peer.began = NOW + DAY, "another volume", NOW + HOUR
    peer.troubles = ()
    first.ask(peer)
    for one in (first, _exchange(tmp_path, store, NOW + DAY)):
        source = remembered(one.known(peer.url).source(NOW + DAY), one.losses)
        assert sorted((trouble.since, trouble.until) for trouble in source.troubles) == [
            (LOST.since, LOST.until),
            (NOW - HOUR, NOW + HOUR),
        ]
    (loss,) = first.losses
    assert loss.merged(Loss("b-0", loss.anew, NOW, 1, [LOST])) == loss
    never = Trouble("not all events are counted yet", None, kind=Kind.BEHIND)
    peer.troubles = (never,)
    first.ask(peer)
    peer.epoch, peer.began, peer.troubles = "a third volume", NOW + 2 * HOUR, ()
    first.ask(peer)
    assert first.losses[-1].heard == NOW + HOUR
    store.close()


def test_of_one_loss_that_two_tell_at_once_the_earlier_time_stays(tmp_path: Path) -> None:
    """While what the one says is being written down, another says it was heard less long."""
    earlier, later = Told(), Told()
    earlier.losses, later.losses = (Loss("c-0", 9, 4, 1),), (Loss("c-0", 9, 5, 1),)
    earlier.url = "https://d-0"

    class Slow(Store):
        """Takes as long over the first answer as the second one needs, or waits for it."""

        second: threading.Thread | None = None

        def fold(self, *given: Any, **named: Any) -> None:
            if self.second is None:
                self.second = threading.Thread(target=asking.ask, args=(earlier,))
                self.second.start()
                self.second.join(0.5)
            super().fold(*given, **named)

    store = Slow(tmp_path)
    asking = _exchange(tmp_path, store, NOW)
    asking.ask(later)
    assert store.second is not None
    store.second.join(60)
    assert asking.losses == _exchange(tmp_path, store, NOW).losses == [Loss("c-0", 9, 4, 1)]
    store.close()


def test_one_with_a_copy_of_the_volume_is_not_oneself(tmp_path: Path) -> None:
    """Its usage is not in our index, and nobody may take that for none."""
    store, peer = Store(tmp_path), Told()
    peer.epoch, peer.troubles = store.epoch, ()
    asking = _exchange(tmp_path, store, NOW)
    asking.ask(peer)
    assert not asking.is_self(peer.url)
    (trouble,) = asking.known(peer.url).source(NOW).troubles
    assert trouble.kind == Kind.AWAY
    assert "b-0 has a copy of this collector's volume" in trouble.reason
    own = Exchange(store, Registry(tmp_path, "b-0", lambda: NOW), Book(tmp_path), lambda: NOW)
    own.ask(peer)
    assert own.is_self(peer.url)
    store.close()


def test_an_answer_has_no_more_dimensions_than_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long ones take more answers, of which each goes on where the one before ended."""
    store = Store(tmp_path)
    jobs = [event(session_id=str(n), dimensions={"a": str(n) * 90}) for n in range(9)]
    places = [Place("c", "L", n) for n in range(9)]
    told = [state(events.read(raw), at, "z", NOW) for raw, at in zip(jobs, places, strict=True)]
    store.fold([*filter(None, told)], NOW, own=True, marks=[], epoch=store.epoch)
    monkeypatch.setattr(exchange, "PAGE_CHARACTERS", 290)
    pages, after, more = [], 0, True
    while more:
        after, more, states = exchange.news(store, store.epoch, after, everything=False)
        pages.append([one.position for one in states])
    assert pages == [[0, 1, 2], [3, 4, 5], [6, 7, 8], []]
    store.close()


def test_a_loss_is_pending_until_it_is_restored_or_told() -> None:
    """Its own only; a ledger of before ends it, a delivered month that names it, or the second."""
    first, second = Loss("b-0", NOW, NOW - HOUR, 1), Loss("b-0", NOW + DAY, NOW + HOUR, 1)
    losses, anew = [Loss("c-0", NOW + 1, NOW, 1), first, second], second.anew

    def cut(at: int, *states: str, period: str = "named") -> Cut:
        receipts = [Receipt(one, "folder", at, [ReceiptFile("f", "0")]) for one in states]
        return Cut(period, at, Limits(18, 10, 10), {}, [], receipts)

    def left(began: int, *cuts: Cut, who: str = "b-0") -> tuple[int, int] | None:
        return pending(losses, who, began, cuts, MANIFESTS.get)

    assert left(anew, who="a-0") is None
    assert left(anew) == (NOW - HOUR, NOW + DAY)
    # A ledger from between the two, or from before both, came back.
    assert left(first.anew) == (NOW - HOUR, NOW)
    assert left(1) is None
    # What was delivered before it happened, or is only promised, tells nothing of it.
    assert left(anew, cut(NOW - 1, "sent"), cut(anew + 1), cut(anew + 1, "exported")) == left(anew)
    assert left(anew, cut(NOW + 1, "exported", "sent")) == (NOW + HOUR, NOW + DAY)
    assert left(anew, cut(anew + 1, "sent")) is None
    # Nor does a month whose manifest names no gap of it, or that cannot be read.
    for period in ("other", "broken", "cut", "unknown"):
        again = cut(anew + 1, "sent", period=period)
        assert left(anew, again) == left(anew)
        assert left(anew, again, cut(anew + 2, "acknowledged", period="other")) is None


_MONTHS = {"named": ["c-0", "b-0"], "other": ["c-0"]}
_BODIES = {
    period: gzip.compress(
        msgspec.json.encode({"payload": {"gaps": [{"collector": one} for one in names]}})
    )
    for period, names in _MONTHS.items()
}
MANIFESTS = {**_BODIES, "broken": b"not gzipped", "cut": _BODIES["named"][:-9]}
