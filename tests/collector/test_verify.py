"""Verifying: whatever was done to a delivery is found, and told where."""

from __future__ import annotations

import gzip
import io
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collector.made import KEYS, OTHER_KEYS, Ledger, event, ledger, replace_in, window
from usage_collector.errors import InvalidInput
from usage_collector.packages import Finding, Kind, Report, Trust, gzipped, verify
from usage_collector.packages.checking import Check

if TYPE_CHECKING:
    from pathlib import Path

SMALL = ledger(7)
SMALL_PLAIN = SMALL.plain(1, 7)
PINNED = Trust(secrets={KEYS.signing_kid: KEYS.signing}, proofs={KEYS.proof_kid: KEYS.public})


def kinds(report: Report) -> set[Kind]:
    """The kinds of what was found."""
    return {finding.kind for finding in report.findings}


def check(data: bytes, trust: Trust = PINNED) -> list[Finding]:
    """What is wrong with one file."""
    one = Check("file", trust, lambda _: None)
    one.run(io.BytesIO(data))
    return one.findings


@pytest.fixture
def year(tmp_path: Path) -> Path:
    """Three months of a ledger of 450 events, in a folder each."""
    made = ledger(450)
    for period, first, last in (("10", 1, 130), ("11", 131, 131), ("12", 132, 450)):
        folder = tmp_path / f"2026-{period}"
        folder.mkdir()
        made.save(folder, first, last, period=f"2026-{period}")
    return tmp_path


def test_an_untouched_year_is_well(year: Path) -> None:
    """Chains join across files and folders, and every job is counted once."""
    report = verify([year], PINNED)
    assert report.findings == ()
    assert report.ok
    assert not report.self_asserted
    assert report.events == report.totals.all.count == 450
    assert report.totals.all.duration == sum(n % 50 for n in range(1, 451)) * 1_000_000


def test_without_a_key_files_assert_themselves(year: Path) -> None:
    """Nothing is wrong then, but the report says against which key it was checked."""
    report = verify([year], Trust())
    assert report.ok
    assert report.self_asserted


def test_another_key_is_not_ours(tmp_path: Path) -> None:
    """A package of somebody else's key is refused when keys were given, either of them."""
    ledger(5).save(tmp_path, 1, 5, OTHER_KEYS)
    assert verify([tmp_path], Trust()).ok
    assert kinds(verify([tmp_path], Trust(proofs=PINNED.proofs))) == {Kind.NOT_OURS}
    assert kinds(verify([tmp_path], Trust(secrets=PINNED.secrets))) == {Kind.NOT_OURS}


def test_a_proof_with_a_foreign_secret_is_not_ours() -> None:
    """A package whose secret's id is right but whose secret is not has been altered."""
    forged = type(KEYS)(b"f" * 64, KEYS.proof)
    plain = SMALL.plain(1, 7, forged).replace(
        forged.signing_kid.encode(), KEYS.signing_kid.encode()
    )
    assert [finding.kind for finding in check(plain)] == [Kind.ALTERED]


@given(st.integers(0, len(SMALL_PLAIN) - 1), st.integers(1, 255))
@settings(max_examples=400, deadline=None)
def test_any_altered_byte_is_found(place: int, change: int) -> None:
    """No byte of a package can be changed without being found."""
    altered = bytearray(SMALL_PLAIN)
    altered[place] ^= change
    assert check(bytes(altered))


@given(st.integers(0, 10_000), st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_an_altered_byte_of_the_compressed_file_changes_nothing_or_is_found(
    place: int, change: int
) -> None:
    """Compression either still gives the very same content, or the change is found."""
    altered = bytearray(b"".join(gzipped([SMALL_PLAIN])))
    altered[place % len(altered)] ^= change
    assert check(bytes(altered)) or gzip.decompress(bytes(altered)) == SMALL_PLAIN


@st.composite
def tampered(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """350 events with one dropped, inserted, doubled, changed, or two swapped."""
    events = list(LONG.events)
    place = draw(st.integers(0, len(events) - 1))
    how = draw(st.sampled_from(["drop", "insert", "double", "change", "swap"]))
    if how == "drop":
        del events[place]
    elif how == "insert":
        events.insert(place, event("inserted"))
    elif how == "double":
        events.insert(place, events[place])
    elif how == "change":
        events[place] = event("changed")
    else:
        other = (place + draw(st.integers(1, len(events) - 1))) % len(events)
        events[place], events[other] = events[other], events[place]
    return how, events


LONG = ledger(350)
LONG_HEAD, LONG_TAIL = LONG.plain(1, 350).split(LONG.events[0])[0], LONG.plain(1, 350)[-400:]
LONG_TAIL = LONG_TAIL[LONG_TAIL.index(b"]}") :]


@given(tampered())
@settings(max_examples=60, deadline=None)
def test_tampered_events_are_found_and_placed(made: tuple[str, list[bytes]]) -> None:
    """Every change is placed within the hundred positions between two marks."""
    how, events = made
    findings = check(LONG_HEAD + b",".join(events) + LONG_TAIL)
    changed = [n for n, (a, b) in enumerate(zip(events, LONG.events, strict=False), 1) if a != b]
    first = changed[0] if changed else 350
    assert findings
    expected = {"drop": Kind.MISSING, "insert": Kind.TWICE, "double": Kind.TWICE}
    assert findings[0].kind is expected.get(how, Kind.ALTERED)
    assert findings[0].ledger == LONG.id
    if findings[0].first is not None and findings[0].last is not None:
        assert findings[0].first <= first <= findings[0].last
        assert findings[0].last - findings[0].first < 100
    if how in ("change", "swap"):
        places = [range(f.first or 0, (f.last or 0) + 1) for f in findings]
        assert all(any(n in place for place in places) for n in changed)


def test_a_lost_file_names_the_missing_positions(year: Path) -> None:
    """A file between others that is not given is missing, with its positions."""
    shutil.rmtree(year / "2026-11")
    (finding,) = verify([year], PINNED).findings
    assert (finding.kind, finding.first, finding.last) == (Kind.MISSING, 131, 131)


def test_the_same_file_twice_is_found(year: Path) -> None:
    """A copy under another name, or the same path given twice, is the same package twice."""
    original = next((year / "2026-10").iterdir())
    shutil.copy(original, year / "copy.json.gz")
    report = verify([year], PINNED)
    assert kinds(report) == {Kind.TWICE}
    assert report.totals.all.count == 450
    again = verify([original, original], PINNED)
    assert kinds(again) == {Kind.TWICE}
    assert again.totals.all.count == 130


def test_overlapping_files_are_found(tmp_path: Path) -> None:
    """Positions in two packages are named, also where one is a window's."""
    made = ledger(30)
    made.save(tmp_path, 1, 20)
    made.save(tmp_path, 15, 30)
    (tmp_path / "window.json").write_bytes(window(made, [29, 30]))
    findings = verify([tmp_path], PINNED).findings
    assert {(f.kind, f.first, f.last) for f in findings} == {
        (Kind.TWICE, 15, 20),
        (Kind.TWICE, 29, 30),
    }


def test_chains_that_do_not_join_are_found(tmp_path: Path) -> None:
    """Two honestly signed packages of different histories do not pass for one ledger."""
    made = ledger(10)
    made.save(tmp_path, 1, 5)
    Ledger([event("else"), *made.events[1:]], id=made.id).save(tmp_path, 6, 10)
    (finding,) = verify([tmp_path], PINNED).findings
    assert (finding.kind, finding.first) == (Kind.ALTERED, 6)
    assert "join" in finding.detail


def test_a_ledger_must_begin_as_its_id_says(tmp_path: Path) -> None:
    """A first package under another ledger's id is found by its very first hash."""
    path = ledger(3).save(tmp_path, 1, 3)
    replace_in(path, b'"ledger":"0b6f', b'"ledger":"1b6f')
    assert {finding.kind for finding in verify([path], Trust()).findings} == {Kind.ALTERED}


def test_a_foreign_file_is_not_ours(tmp_path: Path) -> None:
    """Something else in the folder is told from an altered package."""
    (tmp_path / "notes.json").write_text("{}")
    (finding,) = verify([tmp_path], Trust()).findings
    assert finding.kind is Kind.NOT_OURS
    assert finding.file.endswith("notes.json")


def test_nothing_to_verify_is_wrong_usage(tmp_path: Path) -> None:
    """An empty folder and a path that does not exist are refused, not called well."""
    with pytest.raises(InvalidInput, match="holds no package"):
        verify([tmp_path], Trust())
    with pytest.raises(InvalidInput, match="does not exist"):
        verify([tmp_path / "none"], Trust())


def test_progress_counts_every_byte(year: Path) -> None:
    """Progress adds up to the sizes of the files."""
    read: list[int] = []
    verify([year], PINNED, read.append)
    assert sum(read) == sum(path.stat().st_size for path in year.rglob("*.gz"))
