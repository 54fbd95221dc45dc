"""Files of a ledger against each other, and months against each other, against naive models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collector.made import Ledger, delivery, event, ledger
from usage_collector import events
from usage_collector.packages import FileReport, Kind, Seal, Trust, verify
from usage_collector.packages.joining import joined
from usage_collector.periods import Period
from usage_collector.totals.month import Earlier

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

BOOK = ledger(60)
MONTHS = [Period(2026, month) for month in (9, 10, 11)]


def report(first: int, last: int, name: str) -> FileReport:
    """A file of these positions, as it was read."""
    seal = Seal("", None, "", b"", True, "", name, 0, (0, 0), b"")
    return FileReport(name, BOOK.contents(first, last), seal, pinned=False)


@given(
    st.sets(st.integers(2, 60)),
    st.lists(st.integers(0, 2), min_size=60, max_size=60),
    st.randoms(use_true_random=False),
)
def test_what_is_missing_or_twice_is_told_to_the_position(
    cuts: set[int], copies: list[int], random: object
) -> None:
    """However a ledger is cut into files, which of them are given, how often, in what order."""
    starts = sorted({1, *cuts})
    ends = [*(start - 1 for start in starts[1:]), 60]
    files = [
        report(first, last, f"{first:02}-{copy}")
        for first, last, number in zip(starts, ends, copies, strict=False)
        for copy in range(number)
    ]
    given_ = [p for file in files for p in _positions(file)]
    random.shuffle(files)  # type: ignore[attr-defined]
    found = joined(files)
    missing = {p for one in found if one.kind is Kind.MISSING for p in _range(one.first, one.last)}
    twice = {p for one in found if one.kind is Kind.TWICE for p in _range(one.first, one.last)}
    inside = range(min(given_), max(given_) + 1) if given_ else range(0)
    assert missing == set(inside) - set(given_)
    assert twice == {p for p in given_ if given_.count(p) > 1}
    assert {one.kind for one in found} <= {Kind.MISSING, Kind.TWICE}


def _positions(file: FileReport) -> range:
    chain = file.contents.chain
    assert chain
    return range(chain.first, chain.last + 1)


def _range(first: int | None, last: int | None) -> range:
    assert first is not None
    assert last is not None
    return range(first, last + 1)


_JOBS = st.lists(st.integers(0, 5), min_size=1, max_size=6, unique=True)


@settings(max_examples=15, deadline=None)
@given(st.lists(_JOBS, min_size=3, max_size=3), st.none() | st.integers(1, 2))
def test_each_job_counts_once_in_three_months(
    tmp_path_factory: pytest.TempPathFactory, sent: list[list[int]], forgetful: int | None
) -> None:
    """A month that forgets what earlier ones counted is found out, and no other is accused."""
    folder = tmp_path_factory.mktemp("months")
    raws = [event(job, 60, sent=month) for month, jobs in enumerate(sent) for job in jobs]
    book, first = Ledger(raws), 1
    known: dict[bytes, list[Earlier]] = {}
    for number, (month, jobs) in enumerate(zip(MONTHS, sent, strict=True)):
        last = first + len(jobs) - 1
        earlier = {} if number == forgetful else known
        path = folder / str(month)
        delivery(path, book, (first, last), str(month), counted_at=month.end, earlier=earlier)
        for position in range(first, last + 1):
            identity = events.read(raws[position - 1]).identity
            one = Earlier(identity, str(month), book.collector, book.id, position, 60 * 10**6, None)
            known.setdefault(identity, []).append(one)
        first = last + 1
    found = verify([folder], Trust())
    before = {job for jobs in sent[:forgetful] for job in jobs} if forgetful else set()
    again = before & set(sent[forgetful or 0])
    assert {one.kind for one in found.findings} == ({Kind.TWICE} if again else set())
    assert all(_month_of(one.file) == str(MONTHS[forgetful or 0]) for one in found.findings)
    distinct = {job for jobs in sent for job in jobs}
    assert found.totals.all.count == len(distinct) + len(again)
    assert found.notes == ()


def _month_of(name: str) -> str:
    return name.split("/")[-2]


def test_a_month_is_checked_against_the_two_before_only(tmp_path: Path) -> None:
    """What a third one before counted is beyond what collectors are asked for."""
    book = Ledger([event("a"), event("b"), event("c"), event("a", extra=1)])
    for number, month in enumerate((8, 9, 10, 11), 1):
        period = Period(2026, month)
        path = tmp_path / str(period)
        delivery(path, book, (number, number), str(period), counted_at=period.end)
    assert verify([tmp_path], Trust()).ok
