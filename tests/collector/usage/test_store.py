"""The day index against a naive count of the same events."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collector.usage import naive
from usage_collector import events, usage
from usage_collector.errors import InvalidInput
from usage_collector.sessions import Place, is_over, use
from usage_collector.usage import answering, exchange, grouping
from usage_collector.usage.asking import text
from usage_collector.usage.exchange import Exchange
from usage_collector.usage.registry import Registry
from usage_collector.usage.states import DAY, State, merged, state
from usage_collector.usage.store import Mark, Store
from usage_collector.usage.told import Book

if TYPE_CHECKING:
    from random import Random

START = datetime(2026, 10, 1, tzinfo=UTC)
FIRST = (START.date() - date(1970, 1, 1)).days
NOW = int((START + timedelta(days=9)).timestamp() * 1e6)
ALL = usage.Query(
    None,
    40_000,
    ("day", "customer", "zone", "language", "contract", "mode", "dimension:a", "dimension:b,c"),
)
MINUTE = 60_000_000
PLACE = Place("c", "L", 1)


_dimensions = st.none() | st.dictionaries(
    st.sampled_from(["a", "b,c", "day"]), st.sampled_from(["", "x", "y"]), max_size=2
)


@st.composite
def _event(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(["TRANSCRIBER_DONE", "SESSION_STATUS", "SESSION_ENDED", "OTHER"]))
    minutes = draw(st.integers(0, 9 * 24 * 60))
    stamp = (START + timedelta(minutes=minutes)).isoformat()
    value = {
        "event": kind,
        "session_id": draw(st.sampled_from(["a", "b", "c", "d", None])),
        "contract_id": draw(st.sampled_from(["0", "7", events.WARM_UP_CONTRACT])),
        "customer_id": draw(st.sampled_from(["Acme", "Ümlaut", None])),
        "time_stamp": draw(st.sampled_from([stamp, stamp, stamp, None])),
        "event_specific_data": {
            "total_received_duration": draw(st.sampled_from([0, 1.5, 60, 60, 3600, -1, None])),
            "job_config": {"transcription_config": {"language": draw(st.sampled_from("de"))}},
        },
        "dimensions": draw(_dimensions),
    }
    return json.dumps(value).encode()


_received = st.lists(
    st.tuples(st.sampled_from(["one", "two", "three"]), st.integers(0, 9000), _event()),
    max_size=40,
)


def _states(received: list[naive.Received], collector: str) -> list[State]:
    found = []
    for position, (name, at, raw) in enumerate(received, 1):
        place = Place(name, f"ledger-of-{name}", position)
        known = state(events.read(raw), place, f"zone-of-{name}", at)
        if name == collector and known is not None:
            found.append(known)
    return found


class Local:
    """Another collector's index in the same process, asked as over HTTP."""

    def __init__(self, url: str, store: Store) -> None:
        self.url, self.store = url, store

    def usage_news(self, epoch: str, after: int, *, everything: bool, register: str) -> bytes:
        seq, more, states = exchange.news(self.store, epoch, after, everything=everything)
        news = exchange.News(self.url, "z", self.store.epoch, seq, more, [], {}, states, [])
        return exchange.encode(news)


def _counted(answered: dict[str, Any]) -> int:
    return sum(row["count"] for row in answered["summary"] or [])


def _within(table: naive.Answer, window: usage.Query) -> naive.Answer:
    """What of a table by `ALL` lies in that window."""
    assert window.since is not None
    first, last = text(window.since), text(window.until)
    return {key: amount for key, amount in table.items() if first <= key[0] <= last}


def _by(table: naive.Answer, names: list[str]) -> naive.Answer:
    """The same by some of its groups."""
    found: naive.Answer = {}
    for key, (count, duration) in table.items():
        some = tuple(key[ALL.group_by.index(name)] for name in names)
        before = found.get(some, (0, 0))
        found[some] = (before[0] + count, before[1] + duration)
    return found


def _table(store: Store, query: usage.Query = ALL) -> naive.Answer:
    with store.reading() as connection:
        table = grouping.grouped(connection, store, query, query.group_by)
    return {key: (sums[0], sums[1]) for key, sums in table.items()}


@given(_received, st.integers(1, 5), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_any_collector_counts_what_a_naive_count_comes_to(
    received: list[naive.Received], batch: int, random: Random
) -> None:
    """However events are spread, grouped and told on, each collector answers the same, exactly."""
    received = [(name, NOW - 1 - at * MINUTE, raw) for name, at, raw in received]
    with tempfile.TemporaryDirectory() as folder:
        stores = {}
        for name in ("one", "two", "three"):
            (Path(folder) / name).mkdir()
            stores[name] = Store(Path(folder) / name)
        peers = [Local(name, store) for name, store in stores.items()]
        exchanges = [
            Exchange(
                store,
                Registry(Path(folder), name, lambda: NOW),
                Book(Path(folder) / name),
                lambda: NOW,
            )
            for name, store in stores.items()
        ]
        for name, store in stores.items():
            told = _states(received, name)
            random.shuffle(told)
            for first in range(0, len(told), batch):
                # An early clock leaves sessions open, which are then settled or go on.
                now = NOW if random.random() < 0.5 else 0
                part = told[first : first + batch]
                store.fold(
                    part,
                    now,
                    own=True,
                    marks=[Mark.ledger(name, first + len(part))],
                    epoch=store.epoch,
                )
                random.choice(exchanges).ask(random.choice(peers))
                random.choice([*stores.values()]).seal(random.choice([0, 40_000]))
        for _ in range(2):
            for asking in exchanges:
                for peer in peers:
                    asking.ask(peer)
        expected = naive.usage(received, NOW, ALL.group_by)
        since = random.randrange(10)
        window = replace(ALL, since=FIRST + since, until=FIRST + since + random.randrange(5))
        asked = random.sample(ALL.group_by, random.randint(1, 4))
        for store in stores.values():
            store.settle(NOW)
            assert _table(store) == expected
            assert _table(store, window) == _within(expected, window)
            by_some = replace(window, group_by=tuple(asked))
            assert _table(store, by_some) == _by(_within(expected, window), asked)
            assert _counted(answering.answer(store, usage.Query(None, 40_000))) == sum(
                count for count, _ in expected.values()
            )
            store.close()


@given(_received)
@settings(max_examples=100, deadline=None)
def test_states_merge_in_any_order(received: list[naive.Received]) -> None:
    """Merging knows no order and no repetition, so that collectors need no agreement."""
    states = [s for name in ("one", "two", "three") for s in _states(received, name)]
    same = [s for s in states if s.identity == states[0].identity]
    if len(same) < 3:
        return
    one, two, three = same[:3]
    assert merged(one, two) == merged(two, one)
    assert merged(merged(one, two), three) == merged(one, merged(two, three))
    assert merged(merged(one, two), two) == merged(one, two)


@given(st.lists(st.tuples(st.integers(0, 60 * 60), st.integers(0, 40)), min_size=1, max_size=50))
@settings(deadline=None)
def test_of_many_statuses_few_say_when_a_session_is_over(begun: list[tuple[int, int]]) -> None:
    """However many came, the same moment and day as of all of them, at any order."""
    minutes = [start + more for start, number in begun for more in range(number + 1)]
    said = [_status(MINUTE * minute) for minute in minutes]
    known = [state(events.read(raw), PLACE, "z", 0) for raw in said]
    told = [one for one in known if one is not None]
    whole = reduce(merged, told)
    assert reduce(merged, reversed(told)).statuses == whole.statuses
    uses = [use(events.read(raw), PLACE, "z") for raw in said]
    all_ = [one for one in uses if one is not None]
    assert is_over(all_, whole.due)
    assert not is_over(all_, whole.due - 1)
    assert whole.day == (NOW + MINUTE * max(minutes)) // DAY
    assert len(whole.statuses) <= 2 * 48 * 3 + 2


def _status(after: int) -> bytes:
    value = {
        "event": "SESSION_STATUS",
        "session_id": "a",
        "time_stamp": (datetime.fromtimestamp((NOW + after) / 1e6, UTC)).isoformat(),
        "event_specific_data": {"total_received_duration": 1},
    }
    return json.dumps(value).encode()


def _event_of(day: int, session: str, seconds: float = 3600, **fields: object) -> bytes:
    value = {
        "event": "TRANSCRIBER_DONE",
        "session_id": session,
        "time_stamp": (START + timedelta(days=day, hours=23, minutes=59)).isoformat(),
        "event_specific_data": {
            "total_received_duration": seconds,
            "job_config": {
                "type": "transcription",
                "transcription_config": {"language": "en", "operating_point": "enhanced"},
            },
        },
        **fields,
    }
    return json.dumps(value).encode()


def _filled(folder: Path, raws: list[bytes]) -> Store:
    store = Store(folder)
    told = _states([("one", NOW, raw) for raw in raws], "one")
    store.fold(told, NOW, own=True, marks=[Mark.ledger("one", len(raws))], epoch=store.epoch)
    return store


def _ask(store: Store, today: int = 20_800, **given: str | None) -> dict[str, Any]:
    asked = usage.query(given.get("since"), given.get("until"), given.get("group_by"), today)
    return answering.answer(store, asked)


def test_the_answer_has_the_documented_form(tmp_path: Path) -> None:
    """Summary and details, `since` as the first day with usage, days inclusive."""
    store = _filled(tmp_path, [_event_of(1, "a"), _event_of(2, "b", 1800), _event_of(5, "c")])
    assert _ask(store, since="2026-09-01", until="2026-10-03") == {
        "since": "2026-10-02",
        "until": "2026-10-03",
        "summary": [
            {"mode": "batch", "type": "transcription", "count": 2, "duration_hrs": 1.5},
        ],
        "details": [
            {
                "mode": "batch",
                "type": "transcription",
                "language": "en",
                "operating_point": "enhanced",
                "count": 2,
                "duration_hrs": 1.5,
            }
        ],
    }


def test_an_alignment_has_no_operating_point(tmp_path: Path) -> None:
    """As in the documented example, the member is not there; as a table all columns are."""
    config = {"type": "alignment", "alignment_config": {"language": "en"}}
    specific = {"total_received_duration": 1800, "job_config": config}
    event = _event_of(1, "a", event_specific_data=specific)
    answered = _ask(_filled(tmp_path, [event, _event_of(1, "b")]))
    first, second = answered["details"]
    assert first == {
        "mode": "batch",
        "type": "alignment",
        "language": "en",
        "count": 1,
        "duration_hrs": 0.5,
    }
    assert second["operating_point"] == "enhanced"
    table = usage.as_csv(usage.flat(answered)).splitlines()
    assert table[:2] == [
        "mode,type,language,operating_point,count,duration_hrs",
        "batch,alignment,en,,1,0.5",
    ]


def test_nothing_is_null_and_begins_with_the_epoch(tmp_path: Path) -> None:
    """Without usage the lists are null, and `since` is 1970-01-01 or what was asked for."""
    store = _filled(tmp_path, [_event_of(5, "c")])
    empty = {"summary": None, "details": None, "until": "2026-10-03"}
    assert _ask(store, until="2026-10-03") == {"since": "1970-01-01", **empty}
    assert _ask(store, since="2026-10-02", until="2026-10-03") == {"since": "2026-10-02", **empty}


def test_today_is_never_in_it(tmp_path: Path) -> None:
    """Neither by default nor when it is asked for."""
    store = _filled(tmp_path, [_event_of(0, "a"), _event_of(1, "b"), _event_of(2, "c")])
    today = (START + timedelta(days=1) - datetime(1970, 1, 1, tzinfo=UTC)).days
    for until in (None, "2026-10-02", "2027-01-01"):
        answered = _ask(store, today, until=until)
        assert answered["until"] == "2026-10-01"
        assert answered["summary"][0]["count"] == 1
    assert _ask(store, today, since="2026-10-02")["summary"] is None


def test_groups_are_listed_beside_the_details(tmp_path: Path) -> None:
    """`group_by` adds a list by any labels, by day and by month."""
    raws = [_event_of(1, "a", customer_id="Acme"), _event_of(2, "b", customer_id="=1+1")]
    store = _filled(tmp_path, raws)
    answered = _ask(store, group_by="month,customer")
    assert answered["groups"] == [
        {
            "month": "2026-10",
            "customer": customer,
            "count": 1,
            "duration_hrs": 1.0,
            "speech_hrs": 0.0,
            "estimated_count": 0,
            "estimated_hrs": 0.0,
        }
        for customer in ("=1+1", "Acme")
    ]
    table = usage.as_csv(usage.flat(answered)).splitlines()
    assert table[0].startswith("month,customer,count,duration_hrs")
    assert table[1].startswith("2026-10,'=1+1,1,1.0")


def test_formats_that_nobody_knows_are_one_and_are_named(tmp_path: Path) -> None:
    """They count as `other`, nothing of them is lost, and one that was not told stays empty."""
    sent = ["wav", "wav", "midi", "", "WAV", None]
    raws = [
        _event_of(1, str(n), event_specific_data={"total_received_duration": n, "format_name": f})
        for n, f in enumerate(sent)
    ]
    store = _filled(tmp_path, raws)
    answered = _ask(store, group_by="format")
    counted = [(group["format"], group["count"]) for group in answered["groups"]]
    assert counted == [("", 2), ("other", 2), ("wav", 2)]
    hours = [group["duration_hrs"] for group in answered["groups"]]
    assert hours == [round(seconds / 3600, 6) for seconds in (3 + 5, 2 + 4, 0 + 1)]
    assert answered["other_formats"] == ["WAV", "midi"]
    by_day = _ask(store, group_by="day,format")
    assert [group["count"] for group in by_day["groups"]] == [2, 2, 2]
    assert "other_formats" not in _ask(store, group_by="day")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"since": "2026-13-01"}, "since"),
        ({"since": "20261001"}, "since"),
        ({"until": ""}, "until"),
        ({"until": "2026-10-01T00:00:00Z"}, "until"),
        ({"since": "2026-10-02", "until": "2026-10-01"}, "since"),
        ({"group_by": "colour"}, "group_by"),
        ({"group_by": "zone,zone"}, "group_by"),
        ({"group_by": ""}, "group_by"),
    ],
)
def test_a_bad_question_is_refused_by_name(given: dict[str, str], name: str) -> None:
    """The error names the parameter and what is allowed."""
    with pytest.raises(InvalidInput) as refused:
        usage.query(given.get("since"), given.get("until"), given.get("group_by"), 20_000)
    assert str(refused.value).startswith(name)
    assert refused.value.hint


def test_a_damaged_index_is_made_anew(tmp_path: Path) -> None:
    """An index that cannot be read begins empty, under another epoch, instead of failing."""
    store = _filled(tmp_path, [_event_of(1, "a")])
    store.close()
    store.path.write_bytes(b"not a database" * 1000)
    fresh = Store(tmp_path)
    assert fresh.epoch != store.epoch
    assert _ask(fresh)["summary"] is None
    fresh.close()


def test_numbers_are_never_used_twice(tmp_path: Path) -> None:
    """After a start numbers go on far behind the last, which a power cut may have taken back."""
    store = _filled(tmp_path, [_event_of(1, "a")])
    before = store.next_seq
    store.close()
    again = Store(tmp_path)
    assert again.next_seq > before
    assert again.epoch == store.epoch
    again.close()
