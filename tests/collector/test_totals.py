"""The billing rules, against a naive model; and the month over several collectors."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime  # noqa: TC003 - hypothesis gives them
from fractions import Fraction
from zlib import crc32

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.collector.made import event
from usage_collector import events
from usage_collector.packages.sorting import Sorter
from usage_collector.periods import Period
from usage_collector.sessions import SECOND, Place, Use, resolve, use
from usage_collector.totals import GROUPINGS, merged, total
from usage_collector.totals.carrying import Carried
from usage_collector.totals.month import Earlier, Month

LATE = Period(2030, 1).start


def job(session: str, collector: str, seconds: object, customer: str = "", **more: object) -> Use:
    """A use of one job at one collector."""
    raw = event(session, seconds, customer_id=customer, **more)
    place = Place(
        collector, f"ledger-{collector}", 1 + crc32(f"{session} {seconds}".encode()) % 1000
    )
    found = use(events.read(raw), place, f"zone-{collector}")
    assert found
    return found


JOBS = st.lists(
    st.builds(
        job,
        st.sampled_from("abcdefgh"),
        st.sampled_from(["c1", "c2", "c3"]),
        st.sampled_from([0, 0.001, 0.1, 0.2, 59.999, 3600, -1]),
        st.sampled_from(["Acme", "Globex"]),
        contract_id=st.sampled_from(["0", "0", "-77777777777777"]),
    ),
    max_size=30,
)


def counted(uses: list[Use], earlier: dict[bytes, list[Earlier]] | None = None) -> Month:
    """The month of these uses, sorted in runs of three so that merging has work to do."""
    month = Month(counted_at=LATE)
    with Sorter(run=3) as sorter:
        for one in uses:
            sorter.add(one)
        for group in sorter.groups():
            month.add(group, (earlier or {}).get(group[0].identity, ()))
    return month


@given(JOBS)
def test_a_month_counts_as_a_naive_model_says(uses: list[Use]) -> None:
    """Each identity once with its longest plausible duration, in exact sums."""
    best: dict[bytes, Use] = {}
    for one in uses:
        if not one.implausible and (
            one.identity not in best or (one.duration or 0) > (best[one.identity].duration or 0)
        ):
            best[one.identity] = one
    billed = [one for one in best.values() if not one.warm_up]
    month = counted(uses)
    assert month.after.all.count == len(billed)
    hours = sum((Fraction(one.duration or 0, SECOND * 3600) for one in billed), Fraction(0))
    assert Fraction(month.after.all.duration, SECOND * 3600) == hours
    assert month.after.warm_ups.count == len(best) - len(billed)
    ends = Counter((one.identity, one.place.collector) for one in uses if not one.implausible)
    assert month.before_all.all.count + month.before_all.warm_ups.count == len(ends)
    assert len(month.implausible) == sum(one.implausible and not one.warm_up for one in uses)
    plausible = [one for one in uses if not one.implausible]
    assert len(month.duplicates) == len(plausible) - len(best)


@given(JOBS, st.randoms())
def test_the_order_of_arrival_does_not_matter(uses: list[Use], random: object) -> None:
    """The same events give the same month, byte for byte, however they come in."""
    shuffled = list(uses)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = counted(uses), counted(shuffled)
    assert one.after.as_json() == other.after.as_json()
    assert one.duplicates == other.duplicates
    assert one.conflicts == other.conflicts


@given(JOBS)
def test_every_grouping_adds_up(uses: list[Use]) -> None:
    """Each table by any dimensions sums to the whole, and merging parts gives the whole."""
    sessions = [one for one in (resolve([use], LATE) for use in uses) if one]
    whole = total(sessions)
    for grouping in GROUPINGS:
        table = whole.by(*grouping)
        assert sum(amount.count for amount in table.values()) == whole.all.count
        assert sum(amount.duration for amount in table.values()) == whole.all.duration
    parts = merged([total(sessions[::2]), total(sessions[1::2])])
    assert parts.as_json() == whole.as_json()


def known(one: Use, seconds: float, *, estimated: bool = False) -> dict[bytes, list[Earlier]]:
    """That the period before counted it with so many seconds."""
    duration = round(seconds * SECOND)
    earlier = Earlier(one.identity, "2026-09", "c9", "L", 7, duration, None, estimated)
    return {one.identity: [earlier]}


def test_what_an_earlier_period_counted_is_a_duplicate() -> None:
    """A session that ended in two periods is billed in the first; a difference is a conflict."""
    one = job("a", "c1", 60)
    month = counted([one], known(one, 61))
    assert month.before_all.all.count == 1
    assert month.after.all.count == 0
    (line,) = month.duplicates
    assert line["of"] == {"period": "2026-09", "collector": "c9", "ledger": "L", "position": 7}
    assert [conflict["seconds"] for conflict in month.conflicts] == [[60.0, 61.0]]


def test_the_end_of_an_estimated_session_is_a_correction() -> None:
    """The later period has the difference, actual less reported, and names the first."""
    one = job("a", "c1", 90, event="SESSION_ENDED")
    month = counted([one], known(one, 60.5, estimated=True))
    assert month.after.all.count == 0
    (line,) = month.corrections
    assert (line["reported_seconds"], line["actual_seconds"], line["seconds"]) == (60.5, 90.0, 29.5)
    assert month.duplicates == []


def test_a_correction_begins_where_the_last_one_ended() -> None:
    """A session estimated in one month and corrected in the next is not corrected twice."""
    one = job("a", "c1", 90, event="SESSION_ENDED")
    (first,) = known(one, 50, estimated=True)[one.identity]
    later = replace(first, period="2026-10", duration=80 * SECOND)
    (line,) = counted([one], {one.identity: [first, later]}).corrections
    assert (line["reported_seconds"], line["seconds"]) == (80.0, 10.0)
    assert line["of"]["period"] == "2026-09"  # type: ignore[index]


def test_a_late_status_takes_nothing_back() -> None:
    """What was reported was heard of the session, so the longest duration is no less."""
    one = job("a", "c1", 40, event="SESSION_STATUS")
    (line,) = counted([one], known(one, 60, estimated=True)).corrections
    assert (line["actual_seconds"], line["seconds"]) == (60.0, 0.0)


def test_an_implausible_status_is_listed() -> None:
    """A duration that cannot be counted is told, whatever the event."""
    broken = job("a", "c1", 1e9, event="SESSION_STATUS")
    month = counted([broken, job("a", "c1", 60, event="SESSION_ENDED")])
    assert [line["position"] for line in month.implausible] == [broken.place.position]
    assert month.after.all.duration == 60 * SECOND


def test_a_session_still_alive_is_left_to_the_next_month() -> None:
    """By its longest status, with everything that counting it needs; no finished one is."""
    alive = [job("a", "c1", n, event="SESSION_STATUS") for n in (60, 120)]
    month = Month(counted_at=(alive[0].time or 0) + 60 * SECOND)
    month.add(alive)
    month.add([job("b", "c1", 60)])
    (line,) = month.carried
    assert msgspec.convert(line, Carried).use == msgspec.structs.replace(alive[1], transport=b"")


def announced(session: str, collector: str, kind: str = "TRANSCRIPT_NOTIFIED") -> Use:
    """What another vendor said of a job of unknown duration."""
    return job(session, collector, None, "Acme", event=kind, vendor="assemblyai")


def test_an_announced_job_is_pending_until_anything_else_is_known() -> None:
    """Listed once with its customer, never counted; not once it is done, failed or implausible."""
    place = {
        "collector": "c1",
        "ledger": "ledger-c1",
        "position": announced("a", "c1").place.position,
    }
    month = counted(
        [
            *(announced("a", "c2"), announced("a", "c1")),
            *(announced("b", "c1"), job("b", "c2", 60, vendor="assemblyai")),
            *(announced("c", "c1"), announced("c", "c2", "TRANSCRIPT_FAILED")),
            *(announced("d", "c1"), job("d", "c1", -1, vendor="assemblyai")),
            announced("e", "c1", "TRANSCRIPT_FAILED"),
        ]
    )
    (line,) = month.pending
    assert line == {"id": announced("a", "c1").identity.hex(), **place, "customer": "Acme"}
    assert (month.after.all.count, month.before_all.all.count) == (1, 1)
    assert len(month.implausible) == 1
    assert month.carried == []


def test_what_an_earlier_month_counted_is_not_pending() -> None:
    """A notification that comes again after a cut announces nothing."""
    one = announced("a", "c1")
    assert counted([one], known(one, 60)).pending == []


def test_months_are_complete_only_when_all_of_them_was_seen() -> None:
    """A calendar month that the cuts do not cover, or that misses a collector, is partial."""
    uses = [job("a", "c1", 60), job("b", "c1", 1, time_stamp="2026-09-30T23:59:59.999Z")]
    month = counted(uses)
    month.covered = (Period(2026, 10).start, Period(2026, 11).start)
    lines = {line["month"]: line["complete"] for line in month.month_lines(whole=True)}
    assert lines == {"2026-09": False, "2026-10": True}
    assert not any(line["complete"] for line in month.month_lines(whole=False))


@given(st.datetimes(), st.sampled_from(["", "Z", "-12:00", "+14:00"]))
def test_no_time_keeps_a_month_from_being_counted(time: datetime, zone: str) -> None:
    """Whatever an event says when it was, such as the last moment that a program knows."""
    for kind in ("TRANSCRIBER_DONE", "SESSION_STATUS"):
        raw = event("a", event=kind, time_stamp=f"{time.isoformat()}{zone}")
        said = use(events.read(raw), Place("c", "L", 1), "z")
        assert said is not None
        month = Month(Period(2026, 10).start)
        month.add([said])
        listed = [*month.month_lines(whole=True), *month.day_lines, *month.carried]
        assert len(listed) in (1, 2)
