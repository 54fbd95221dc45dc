"""Months and backups of all collectors, put together from what each tells."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_collector import standing
from usage_collector.errors import PeerUnavailable
from usage_collector.peers import Cut, Ledger, Notes, Receipt, Status, read_notes
from usage_collector.peers.answers import Loss, Sent

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
CUT = datetime(2026, 11, 2, tzinfo=UTC)


def _cut(period: str = "2026-10", *receipts: Receipt, count: int = 5, end: int = 5) -> Cut:
    return Cut(period, CUT, count, ends={"L": end}, receipts=list(receipts))


def _receipt(state: str, by: str, *names: str) -> Receipt:
    return Receipt(state, [Sent(name, "00") for name in names], by, CUT)


def _status(name: str, *cuts: Cut, began: datetime = BEGAN, last: int = 7) -> Status:
    return Status(name, [Ledger("L", "live", began, 1, last)], list(cuts), f"zone of {name}")


def _told(name: str, *cuts: Cut, notes: bytes = b"{}", **more: Any) -> standing.Told:
    status = _status(name, *cuts, **more)
    ledgers = [msgspec.structs.replace(status.ledgers[0], id=f"L of {name}")]
    return standing.Told(msgspec.structs.replace(status, ledgers=ledgers), read_notes(notes))


def test_a_month_is_where_all_of_it_is() -> None:
    """A destination that lacks files of one collector, or has nothing of one, says of whom."""
    promised = [_receipt("exported", "s3://b", "1", "2"), _receipt("exported", "mailto:v", "1")]
    sent = [_receipt("sent", "s3://b", "1", "2"), _receipt("sent", "mailto:v", "1")]
    (month,) = standing.months(
        [
            _status("a", _cut("2026-10", *promised, *sent, count=3)),
            _status("b", _cut("2026-10", *promised, _receipt("sent", "s3://b", "1"))),
            _status("c", _cut("2026-10", promised[0], sent[0])),
        ]
    )
    assert (month["period"], month["cut_at"], month["count"]) == ("2026-10", CUT, 13)
    assert month["not_cut"] == []
    bucket, mail = month["destinations"]
    assert (bucket["by"], bucket["state"], bucket["at"]) == ("s3://b", "exported", CUT)
    assert bucket["lacking"] == [{"collector": "b", "files": 1}]
    assert (mail["by"], mail["state"]) == ("mailto:v", "exported")
    assert mail["lacking"] == [
        {"collector": "b", "files": 1},
        {"collector": "c", "files": None},
    ]


def test_a_collector_without_a_cut_is_named_if_it_was_there() -> None:
    """One that began after the month was cut has nothing in it; the newest month comes first."""
    told = [
        _status("a", _cut("2026-09"), _cut("2026-10")),
        _status("there", _cut("2026-09")),
        _status("later", began=CUT + timedelta(days=1)),
    ]
    found = [(one["period"], one["not_cut"]) for one in standing.months(told)]
    assert found == [("2026-10", ["there"]), ("2026-09", [])]


def test_a_collector_that_lost_its_cut_is_named() -> None:
    """Whoever remembers it; not where the cut came back, nor for months of before or after it."""
    hour = timedelta(hours=1)
    losses = [Loss("b", BEGAN, CUT + hour), Loss("b", CUT + 2 * hour, CUT + 3 * hour)]
    told = msgspec.structs.replace(_status("a", _cut()), losses=losses)
    anew = _status("b", began=CUT + 3 * hour)
    (month,) = standing.months([told, anew])
    assert (month["lost"], month["not_cut"], month["count"]) == (["b"], [], 5)
    (month,) = standing.months([told, _status("b", _cut())])
    assert (month["lost"], month["not_cut"], month["count"]) == ([], [], 10)
    later = msgspec.structs.replace(told, losses=[Loss("b", CUT + hour, CUT + 2 * hour)])
    (month,) = standing.months([later, anew])
    assert month["lost"] == []


_STATES = ("exported", "sent", "acknowledged")
_RECEIPTS = st.lists(
    st.builds(
        lambda state, by, names: _receipt(state, by, *sorted(names)),
        st.sampled_from(_STATES),
        st.sampled_from(["x", "y"]),
        st.sets(st.sampled_from("123")),
    ),
    max_size=8,
)


@given(st.lists(_RECEIPTS, min_size=1, max_size=4))
def test_no_destination_is_said_to_have_what_one_collector_did_not_bring(
    all_: list[list[Receipt]],
) -> None:
    """Against a naive account, file by file, of every collector that cut the month."""
    names = [str(number) for number in range(len(all_))]
    told = [_status(name, _cut("2026-10", *mine)) for name, mine in zip(names, all_, strict=True)]
    (month,) = standing.months(told)
    assert {one["by"] for one in month["destinations"]} == {r.by for mine in all_ for r in mine}
    for place in month["destinations"]:
        lacking = {one["collector"] for one in place["lacking"]}
        for name, mine in zip(names, all_, strict=True):
            here = [one for one in mine if one.by == place["by"]]
            last = [one for one in here if one.state == "exported"][-1:]
            has = {f.name for one in here if one.state != "exported" for f in one.files}
            waits = any(file.name not in has for one in last for file in one.files)
            assert (name in lacking) == (waits or not here)
            if place["state"] != "exported":
                assert not lacking
                assert any(one.state != "exported" for one in here)
            if place["state"] == "acknowledged":
                agreed = {f.name for one in here if one.state == "acknowledged" for f in one.files}
                assert {f.name for one in last for f in one.files} <= agreed


def test_each_collector_is_told_once_with_its_backups() -> None:
    """By name; asked under two addresses it is one. Events behind its last cut are in no month."""
    backup = (
        b'{"backups": [{"place": "/b", "taken": "2026-11-02T00:00:00Z", "missing_events": 3,'
        b' "verified": null, "verified_ok": null, "continuous": false, "new": 1}],'
        b' "export": {"period": "2026-10", "due": "2026-10-30T06:00:00Z"}}'
    )
    later = b'{"export": {"period": "2026-11", "due": "2026-11-30T06:00:00Z"}}'
    a, b = _told("a", notes=later), _told("b", _cut(end=5), notes=backup)
    found = standing.answer([b, a, b])
    assert [one["collector"] for one in found["collectors"]] == ["a", "b"]
    assert [one["zone"] for one in found["collectors"]] == ["zone of a", "zone of b"]
    assert [len(one["backups"]) for one in found["collectors"]] == [0, 1]
    assert found["collectors"][1]["backups"][0]["missing_events"] == 3
    assert found["export"].period == "2026-11"
    assert standing.answer([_told("a")])["export"] is None
    copy = standing.Told(msgspec.structs.replace(b.status, collector="copy"), b.notes)
    names = [one["collector"] for one in standing.answer([b, copy])["collectors"]]
    assert names == ["b", "copy"]


@pytest.mark.parametrize(
    ("cuts", "first", "last", "behind"),
    [
        ([], 1, 7, 7),
        ([5], 1, 7, 2),
        ([3, 5], 1, 5, 0),
        ([], 4, 7, 4),
        ([2], 4, 7, 4),
        ([], 1, 0, 0),
    ],
)
def test_events_of_no_month_are_counted(
    cuts: list[int], first: int, last: int, behind: int
) -> None:
    """Behind the last cut, or the first that is kept; what was purged is none of them."""
    made = [_cut(f"2026-0{number}", end=end) for number, end in enumerate(cuts, 1)]
    status = Status("a", [Ledger("L", "live", BEGAN, first, last)], made)
    (one,) = standing.answer([standing.Told(status, Notes())])["collectors"]
    assert one["unreported"] == behind


def test_who_does_not_answer_is_named() -> None:
    """With its reason, beside what the others tell."""

    def refused() -> standing.Told:
        raise PeerUnavailable("b cannot be reached", "check that it runs")

    told, silent = standing.ask({"http://b": refused, "http://a": lambda: _told("a")})
    assert [one.status.collector for one in told] == ["a"]
    assert silent.keys() == {"http://b"}
    assert silent["http://b"].startswith("b cannot be reached")
    assert standing.ask({}) == ([], {})


def test_who_says_nothing_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while it is named like one that cannot be reached."""
    monkeypatch.setattr(standing, "SECONDS", 0.1)
    silence = threading.Event()

    def says_nothing() -> standing.Told:
        silence.wait(60)
        return _told("c")

    try:
        told, silent = standing.ask({"http://c": says_nothing})
    finally:
        silence.set()
    assert told == []
    assert "did not answer within" in silent["http://c"]
