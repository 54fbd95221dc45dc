"""What a month's run decides to do, from what collectors answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from usage_collector.monthly import plan
from usage_collector.monthly.summary import MAX_SUMMARY, Outcome, as_json, short
from usage_collector.packages.manifest import Manifest, manifest_name, revision_of
from usage_collector.packages.reading import Seal
from usage_collector.peers.answers import Cut, CutFile, Ledger, Receipt, Sent, Status
from usage_collector.periods import Due, Period, next_due

if TYPE_CHECKING:
    from collections.abc import Sequence

SEPTEMBER, OCTOBER, NOVEMBER = (Period(2026, month) for month in (9, 10, 11))
SEAL = Seal("", None, "", b"", True, "", "", 0, (0, 0), b"")


def day(month: int, number: int) -> datetime:
    """Noon of a day of 2026."""
    return datetime(2026, month, number, 12, tzinfo=UTC)


def cut(
    period: Period, *files: CutFile, at: datetime | None = None, receipts: Sequence[Receipt] = ()
) -> Cut:
    """A cut on the 28th of its month unless said otherwise."""
    moment = at or day(period.month, 28)
    return Cut(str(period), moment, files=list(files), receipts=list(receipts))


def status(*cuts: Cut, began: datetime | None = None, more: Sequence[Ledger] = ()) -> Status:
    """A collector with one ledger since the 3rd of September."""
    first = Ledger("L1", "live", began or day(9, 3))
    return Status("c", [first, *more], list(cuts), "z")


SENT = Receipt("sent", [Sent("manifest.json", "aa"), Sent("usage-c.json.gz", "bb")])


def test_a_collector_owes_from_the_month_of_its_oldest_ledger() -> None:
    """Later ledgers do not make it forget what it owed before."""
    later = Ledger("L2", "live", day(11, 1))
    assert plan.first_owed(status(more=[later])) == SEPTEMBER


def test_due_periods_without_a_sent_receipt_are_run_oldest_first() -> None:
    """Exported is not sent; a collector that began later owes nothing for the months before."""
    due = [SEPTEMBER, OCTOBER, NOVEMBER]
    one = status(cut(SEPTEMBER, receipts=[SENT]), cut(OCTOBER, receipts=[Receipt("exported")]))
    late = status(began=day(11, 5))
    assert plan.periods_to_run([one], due, silent=False) == [OCTOBER, NOVEMBER]
    assert plan.periods_to_run([late], due, silent=False) == [NOVEMBER]


def test_an_export_by_hand_keeps_no_month_from_a_destination() -> None:
    """Who got an earlier month is owed all later ones, and who never got any the newest."""
    vendor = Receipt("sent", SENT.files, by="vendor")
    one = status(
        cut(SEPTEMBER, receipts=[vendor]),
        cut(OCTOBER, receipts=[SENT]),
        cut(NOVEMBER, receipts=[SENT]),
    )
    due = [SEPTEMBER, OCTOBER, NOVEMBER]
    assert plan.periods_to_run([one], due, ["vendor"], silent=False) == [OCTOBER, NOVEMBER]
    assert plan.periods_to_run([one], due, ["new"], silent=False) == [NOVEMBER]
    assert plan.periods_to_run([one], due[:2], ["new"], silent=False) == []
    assert plan.exported_to([one], ["vendor"]) == SEPTEMBER
    assert plan.exported_to([one]) == NOVEMBER


def test_a_silent_collector_keeps_the_newest_period_open() -> None:
    """With everything else sent, what it holds stays unknown, and is told on every run."""
    done = status(cut(SEPTEMBER, receipts=[SENT]))
    assert plan.periods_to_run([done], [SEPTEMBER], silent=False) == []
    assert plan.periods_to_run([done], [SEPTEMBER], silent=True) == [SEPTEMBER]
    assert plan.periods_to_run([done], [], silent=True) == []


def test_exported_to_is_the_last_period_that_nobody_owes() -> None:
    """An early export counts; the first period that any collector owes does not."""
    both = status(cut(SEPTEMBER, receipts=[SENT]), cut(OCTOBER, receipts=[SENT]))
    one = status(cut(SEPTEMBER, receipts=[SENT]), cut(OCTOBER, receipts=[Receipt("exported")]))
    assert plan.exported_to([both]) == OCTOBER
    assert plan.exported_to([both, one]) == SEPTEMBER
    assert plan.exported_to([both, status(began=day(11, 2))]) == OCTOBER
    assert plan.exported_to([both, status()]) == SEPTEMBER.previous
    assert plan.exported_to([Status("c", [], [], "z")]) is None


def test_the_very_first_month_is_owed_until_it_is_sent() -> None:
    """One that nobody got is what comes next, also when the calendar has gone on since."""
    last = plan.exported_to([status()])
    assert next_due(day(10, 5), Due(), last) == (SEPTEMBER, datetime(2026, 9, 30, 6, tzinfo=UTC))


def test_a_period_that_can_no_longer_be_cut_is_not_owed() -> None:
    """Its events are in the files of the later one; asking for it every day would always fail."""
    one = status(cut(OCTOBER, receipts=[SENT]))
    assert plan.periods_to_run([one], [SEPTEMBER, OCTOBER], silent=False) == []
    assert plan.exported_to([one]) == OCTOBER


def test_two_addresses_of_one_collector_are_told() -> None:
    """The second is left out: its packages would come twice."""
    assert plan.left_out({"http://a": status(), "http://b": status()}) == {"http://b": None}


def test_two_collectors_of_one_name_are_no_duplicate() -> None:
    """The second holds other events; leaving it out in silence would lose them."""
    other = Status("c", [Ledger("L9", "live", day(9, 3))], [], "z")
    ((url, gap),) = plan.left_out({"http://a": status(), "http://b": other}).items()
    assert (url, gap and gap.source) == ("http://b", "http://b")
    assert "USAGE_NAME" in str(gap)


def test_a_copied_data_folder_is_told() -> None:
    """Two collectors with the same ledger cannot both be right."""
    copy = Status("d", [Ledger("L1", "live", day(9, 3))], [], "z")
    ((url, gap),) = plan.left_out({"http://a": status(), "http://b": copy}).items()
    assert (url, gap and gap.ledger) == ("http://b", "L1")


def test_a_collector_of_the_month_before_must_still_be_listed() -> None:
    """One that is gone is named, unless one of the silent may be it, or others have its ledgers."""
    lines = [{"collector": "c"}, {"collector": "d", "ledgers": ["L1", "L2"]}]
    before = Manifest({"collectors": lines}, SEAL)
    assert [gap.source for gap in plan.vanished(before, ["c"], {"L1"}, silent=False)] == ["d"]
    assert plan.vanished(before, ["c"], {"L1", "L2", "L3"}, silent=False) == []
    assert plan.vanished(before, ["c"], (), silent=True) == []
    assert plan.vanished(None, [], (), silent=False) == []


def test_a_period_begins_where_the_one_before_was_cut() -> None:
    """The first one begins with the collector."""
    one = status(cut(SEPTEMBER), cut(OCTOBER))
    assert plan.covered_from(one, OCTOBER) == int(day(9, 28).timestamp()) * 1_000_000
    assert plan.covered_from(one, SEPTEMBER) == int(day(9, 3).timestamp()) * 1_000_000


def test_delivered_revisions_are_known_from_receipts_and_destinations() -> None:
    """Either may know of one that the other lost."""
    known = plan.delivered([cut(OCTOBER, receipts=[SENT])], [{"manifest-2.json": "cc", "x": "dd"}])
    assert known.newest == 2
    assert known.holds(1, "aa")
    assert known.holds(2, "cc")
    assert not known.holds(2, "aa")
    assert plan.delivered([cut(OCTOBER, receipts=[Receipt("exported")])], []).newest == 0


@given(st.integers(1, 10_000))
def test_manifest_names_say_their_revision(revision: int) -> None:
    """Every revision has a name of its own, which reads back."""
    assert revision_of(manifest_name(revision)) == revision
    assert revision_of(manifest_name(revision, "summary", "csv")) is None


@given(st.lists(st.text(max_size=300), max_size=200), st.text(max_size=5000))
def test_a_summary_is_short_json_whatever_went_wrong(gaps: list[str], error: str) -> None:
    """It always fits a container's termination message, and says how much was left out."""
    outcome = Outcome("incomplete", "2026-10", gaps=gaps, error=error)
    facts = as_json(outcome, "2026-11-01T00:00:00Z", ("2026-11", "2026-11-30T06:00:00Z"))
    text = short(facts)
    assert len(text) <= MAX_SUMMARY
    read = json.loads(text)
    assert read.keys() == facts.keys()
    assert read["result"] == "incomplete"
    assert bool(read["gaps"]) == bool(gaps)
