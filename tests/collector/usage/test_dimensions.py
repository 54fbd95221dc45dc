"""Usage by dimensions: any of them, beside any other group, however many values they have."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collector.usage import naive
from tests.collector.usage.test_store import ALL, NOW, _ask, _event_of, _states, _table
from usage_collector import usage
from usage_collector.errors import InvalidInput
from usage_collector.sessions import Place
from usage_collector.usage import answering, crowding, exchange
from usage_collector.usage.states import purged
from usage_collector.usage.store import Mark, Store

if TYPE_CHECKING:
    from collections.abc import Iterable

LABELS = ("day", "month", "customer", "zone", "language", "mode", "contract")


def _fold(store: Store, raws: Iterable[bytes]) -> None:
    told = _states([("one", NOW, raw) for raw in raws], "one")
    store.fold(told, NOW, own=True, marks=[Mark.ledger("one", len(told))], epoch=store.epoch)


def _groups(answered: dict[str, Any], name: str) -> dict[object, int]:
    return {group[name]: group["count"] for group in answered["groups"] or []}


def test_what_was_not_told_is_null_and_nothing_else_is(tmp_path: Path) -> None:
    """An empty value is one of its own; a name may hold anything, and be that of a label."""
    store = Store(tmp_path)
    told: list[object] = [{"a": "x"}, {"a": ""}, {"b,c%": "y", "day": "z"}, None, {"a": "x"}]
    _fold(store, (_event_of(1, str(n), dimensions=one) for n, one in enumerate(told)))
    assert _groups(_ask(store, group_by="dimension:a"), "dimension:a") == {None: 2, "": 1, "x": 2}
    answered = _ask(store, group_by="dimension:b%2Cc%25")
    assert _groups(answered, "dimension:b,c%") == {None: 4, "y": 1}
    assert _groups(_ask(store, group_by="dimension:nobody"), "dimension:nobody") == {None: 5}
    mixed = _ask(store, group_by="dimension:day,day,customer,dimension:a")["groups"]
    assert [list(row)[:4] for row in mixed] == [
        ["dimension:day", "day", "customer", "dimension:a"]
    ] * 4
    assert [row["day"] for row in mixed] == ["2026-10-02"] * 4
    assert [row["dimension:day"] for row in mixed] == [None, None, None, "z"]
    table = usage.as_csv(usage.flat(_ask(store, group_by="dimension:a"))).splitlines()
    assert [line.split(",")[:2] for line in table] == [
        ["dimension:a", "count"], ["", "1"], ["", "2"], ["x", "2"],
    ]  # fmt: skip
    assert "other_dimensions" not in _ask(store, group_by="dimension:a")


@pytest.mark.parametrize("name", ["dimension:", "dimension", "project_id", "a:b", "Dimension:a"])
def test_what_can_be_no_dimension_is_refused(name: str) -> None:
    """The error says how a dimension is named."""
    with pytest.raises(InvalidInput) as refused:
        usage.query(None, None, name, 20_000)
    assert str(refused.value).startswith("group_by")
    assert "dimension:NAME" in refused.value.hint


def test_no_answer_is_without_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many groups are refused, in the question or in the answer, with the remedy."""
    many = ",".join(f"dimension:{n}" for n in range(17))
    with pytest.raises(InvalidInput, match="group_by"):
        usage.query(None, None, many, 20_000)
    store = Store(tmp_path)
    _fold(store, (_event_of(n, str(n)) for n in range(9)))
    monkeypatch.setattr(answering, "MOST_GROUPS", 8)
    with pytest.raises(InvalidInput, match="group_by") as refused:
        _ask(store, group_by="day")
    assert refused.value.hint == "ask for fewer days or groups"
    assert len(_ask(store, until="2026-10-08", group_by="day")["groups"]) == 8


def test_long_dimensions_take_no_more_room_than_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too long altogether is one of the crowd, also after a start; no job is lost."""
    monkeypatch.setattr(crowding, "MOST_CHARACTERS", 1000)
    store = Store(tmp_path)
    for n in range(9):
        _fold(store, [_event_of(1, str(n), dimensions={"a": str(n) * 200})])
    store.close()
    store = Store(tmp_path)
    _fold(store, [_event_of(1, "last", dimensions={"a": "new"})])
    found = _groups(_ask(store, group_by="dimension:a"), "dimension:a")
    assert found == {**{str(n) * 200: 1 for n in range(5)}, "other": 5}
    store.close()


_job = st.tuples(
    st.integers(0, 15),
    st.integers(1, 4),
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from("uvwxyz"), max_size=3),
)


@given(st.lists(_job, max_size=60), st.integers(1, 7), st.data())
@settings(max_examples=40, deadline=None)
def test_too_many_values_cost_nobody_a_second(
    jobs: list[tuple[int, int, dict[str, str]]], batch: int, data: st.DataObject
) -> None:
    """Values beyond the bounds are `other` and flagged; all else is what a naive count says.

    Jobs are reported again with other durations and dimensions, and the index is opened again.
    """
    raws = [
        _event_of(n % 3, f"s{n}", hours * 60, dimensions=dimensions)
        for n, hours, dimensions in jobs
    ]
    received = [("one", NOW, raw) for raw in raws]
    bounds = {"MOST_NAMES": 3, "MOST_VALUES": 2, "MOST_TOGETHER": data.draw(st.integers(0, 12))}
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        for name, value in bounds.items():
            patch.setattr(crowding, name, value)
        store = Store(Path(folder))
        for first in range(0, len(raws), batch):
            told = _states(received[: first + batch], "one")[first:]
            store.fold(told, NOW, own=True, marks=[], epoch=store.epoch)
            if data.draw(st.booleans()):
                store.close()
                store = Store(Path(folder))
        plain = replace(ALL, group_by=LABELS)
        assert _table(store, plain) == naive.usage(received, NOW, LABELS)
        for name in "abcd":
            asked = f"dimension:{name}"
            expected = naive.usage(received, NOW, (asked,))
            found = _table(store, replace(ALL, group_by=(asked,)))
            crowd = found.pop((crowding.CROWD,), (0, 0))
            assert all(amount[0] <= expected[key][0] for key, amount in found.items())
            lacking = [
                expected[key][part] - found.get(key, (0, 0))[part]
                for part in (0, 1)
                for key in expected
            ]
            assert sum(lacking) == sum(crowd)
            flagged = _ask(store, group_by=asked).get("other_dimensions", [])
            assert flagged == ([name] if crowd[0] else [])
        # What a row says of its job stays whole, for other collectors.
        states = {
            state.identity: state
            for state in map(store.words.state, store.rows("SELECT * FROM sessions"))
        }
        whole = {json.dumps(one, sort_keys=True) for _, _, one in jobs if one}
        texts = {s.dimensions for s in states.values() if s.dimensions}
        assert {json.dumps(json.loads(one), sort_keys=True) for one in texts} <= whole
        assert store.rows("SELECT count(*) FROM cells WHERE count < 0") == [(0,)]
        store.close()


def test_an_index_of_the_version_before_is_brought_up(tmp_path: Path) -> None:
    """What it counted stays, also of events that are purged; the rest is read again for more."""
    store = Store(tmp_path)
    _fold(
        store, (_event_of(n, str(n), customer_id="Acme", dimensions={"a": "x"}) for n in range(3))
    )
    with store._writing() as connection:
        connection.execute(_BEFORE).fetchall()
    epoch = store.epoch
    store.close()
    store = Store(tmp_path)
    assert store.epoch == epoch
    assert store.rows("SELECT * FROM ledgers") == []
    kept = _ask(store, group_by="customer,dimension:a")["groups"]
    assert [(row["customer"], row["dimension:a"], row["count"]) for row in kept] == [
        ("Acme", None, 3)
    ]
    again = [_event_of(n, str(n), customer_id="Acme", dimensions={"a": "x"}) for n in (1, 2)]
    _fold(store, [_event_of(0, "warm", contract_id="-77777777777777"), *again])
    assert _groups(_ask(store, group_by="dimension:a"), "dimension:a") == {None: 1, "x": 2}
    store.close()
    reopened = Store(tmp_path)
    assert _groups(_ask(reopened, group_by="dimension:a"), "dimension:a") == {None: 1, "x": 2}
    reopened.close()


class Before(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """A job as the version before reads it."""

    identity: bytes
    collector: str
    ledger: str
    position: int
    labels: tuple[str, ...]
    final: bool
    warm_up: bool
    time: int | None
    received: int
    duration: int
    speech: int
    ended: bool
    end: int | None
    statuses: tuple[int, ...]


def test_a_collector_of_the_version_before_reads_jobs_without_dimensions() -> None:
    """While zones are upgraded one by one, and ours reads its jobs and those with dimensions."""
    plain, told = _states(
        [("one", NOW, _event_of(1, "a")), ("one", NOW, _event_of(1, "b", dimensions={"a": "x"}))],
        "one",
    )
    members = exchange.encode(exchange.News("c", "z", "e", 1, False, [], {}, [plain], []))
    (known,) = msgspec.convert(msgspec.msgpack.decode(members)[7], list[Before])
    assert known.identity == plain.identity
    whole = exchange.encode(exchange.News("c", "z", "e", 1, False, [], {}, [plain, told], []))
    assert msgspec.msgpack.decode(whole, type=exchange.News).states == [plain, told]


def test_what_was_purged_has_unknown_dimensions(tmp_path: Path) -> None:
    """Nobody knows them any more, which is another thing than none."""
    store = Store(tmp_path)
    lost = purged(b"x" * 32, Place("c", "L", 1), "z", 3_600_000_000, NOW)
    store.fold([lost], NOW, own=True, marks=[], epoch=store.epoch)
    found = _groups(_ask(store, group_by="dimension:a"), "dimension:a")
    assert found == {"unknown": 1}
    assert "other_dimensions" not in _ask(store, group_by="dimension:a")
    store.close()


_SUMS = "count, duration, speech, estimated, estimated_duration"
_BEFORE = f"""
CREATE TABLE amounts(day INTEGER, label INTEGER, warm_up INTEGER, {_SUMS},
  PRIMARY KEY (label, day, warm_up)) WITHOUT ROWID;
INSERT INTO amounts SELECT day, label, 0, {_SUMS} FROM cells;
INSERT INTO amounts SELECT day, label, 1, {_SUMS} FROM cells;
CREATE TABLE daily(grouping);
CREATE TABLE groups(id);
DROP TABLE cells;
DROP TABLE days;
ALTER TABLE labels DROP COLUMN dimensions;
ALTER TABLE sessions DROP COLUMN dimensions;
PRAGMA user_version = 0;
"""
