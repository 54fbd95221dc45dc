"""Months against the ones before them, old keys, and the check without us."""

from __future__ import annotations

import subprocess
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from tests.collector.made import (
    KEYS,
    OTHER_KEYS,
    Ledger,
    delivery,
    event,
    ledger,
    replace_in,
    window,
)
from tests.collector.processes import command
from usage_collector.packages import Kind, Trust, explain, verify
from usage_collector.packages import manifest as manifests
from usage_collector.packages.across import Counted, joined_months
from usage_collector.periods import Period
from usage_collector.totals.month import Earlier

if TYPE_CHECKING:
    from pathlib import Path

OCTOBER, NOVEMBER = Period(2026, 10), Period(2026, 11)
BOOK = Ledger([event("a", 60), event("b", 60), event("a", 60, extra=1), event("c", 60)])


def months(folder: Path, claimed: bool, *, book: Ledger = BOOK) -> tuple[Path, Path]:
    """October with two jobs, and November with one of them again, told as such or not."""
    first, second = folder / "2026-10", folder / "2026-11"
    delivery(first, book, (1, 2), counted_at=OCTOBER.end)
    known = {}
    if claimed:
        identity = next(_identities(book, 3))
        one = Earlier(identity, "2026-10", book.collector, book.id, 1, 60_000_000, None)
        known = {identity: [one]}
    delivery(second, book, (3, 4), "2026-11", counted_at=NOVEMBER.end, earlier=known)
    return first, second


def _identities(book: Ledger, position: int) -> Any:
    from usage_collector import events

    yield events.read(book.events[position - 1]).identity


def test_what_an_earlier_month_counted_is_proved_where_it_is_given(tmp_path: Path) -> None:
    """A duplicate that the manifest tells of stands in the month that it names."""
    first, second = months(tmp_path, claimed=True)
    report = verify([first, second], Trust())
    assert (report.findings, report.notes) == ((), ())
    assert report.totals.all.count == 3


def test_what_cannot_be_proved_is_told(tmp_path: Path) -> None:
    """Without the earlier month the claim is only a claim; nothing speaks against it."""
    _, second = months(tmp_path, claimed=True)
    report = verify([second], Trust())
    assert report.ok
    assert [note for note in report.notes if "2026-10" in note]
    assert "Not proved" in command("verify", second).out
    assert command("verify", second, "--json").facts["notes"] == list(report.notes)


def test_usage_left_out_by_a_false_claim_is_found(tmp_path: Path) -> None:
    """Whoever signs the manifest cannot hide use as counted already: that month shows."""
    first, second = months(tmp_path, claimed=True)
    other = Ledger([event("x", 60), event("b", 60), *BOOK.events[2:]])
    for path in first.iterdir():
        path.unlink()
    delivery(first, other, (1, 2), counted_at=OCTOBER.end)
    found = [one for one in verify([first, second], Trust()).findings if "leaves out" in one.detail]
    assert [(one.kind, one.first) for one in found] == [(Kind.ALTERED, 3)]


def test_what_two_months_count_is_found(tmp_path: Path) -> None:
    """The same job billed twice shows when both months are given."""
    first, second = months(tmp_path, claimed=False)
    assert verify([second], Trust()).ok
    (finding,) = verify([second, first], Trust()).findings
    assert (finding.kind, finding.first) == (Kind.TWICE, 3)
    assert "2026-10" in finding.detail


@pytest.mark.parametrize(
    "member", ["days", "months", "duplicates", "conflicts", "estimates", "implausible"]
)
def test_a_signed_manifest_that_its_files_do_not_bear_out_is_found(
    tmp_path: Path, member: str
) -> None:
    """Every list of a manifest is counted again, not only its totals."""
    book = Ledger([event("a", 60), event("a", 61, extra=1), event("b", -1)])
    made = delivery(tmp_path, book, (1, 3), counted_at=OCTOBER.end)
    body = dict(made.body)
    lines: Any = body[member]
    body[member] = [*lines, {"id": "00"}] if not lines else []
    (tmp_path / "manifest.json").write_bytes(manifests.signed(body, KEYS))
    (finding,) = verify([tmp_path], Trust()).findings
    assert (finding.kind, finding.file) == (Kind.ALTERED, str(tmp_path / "manifest.json"))
    assert member in finding.detail


def test_a_year_takes_no_more_memory_than_a_month(tmp_path: Path) -> None:
    """Of the other months only what joins them is kept, not their lists of duplicates."""
    at_once, period, folders = 400, OCTOBER, []
    book = Ledger([event(f"s{n // at_once}", 60, extra=n) for n in range(6 * at_once)])
    for first in range(1, 6 * at_once, at_once):
        folders.append(tmp_path / str(period))
        positions = (first, first + at_once - 1)
        delivery(folders[-1], book, positions, str(period), counted_at=period.end)
        period = period.next
    verify(folders[:1], Trust())  # what is made once and kept
    peaks = []
    for given_ in (folders[:1], folders):
        tracemalloc.start()
        assert verify(given_, Trust()).findings == ()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_a_pending_job_that_was_dropped_between_months_is_found(tmp_path: Path) -> None:
    """What one month left unknown the next takes over; older manifests are left alone."""
    first, second = months(tmp_path, claimed=True)
    with (first / "manifest.json").open("rb") as file:
        october = manifests.read(file, {})
    with (second / "manifest.json").open("rb") as file:
        november = manifests.read(file, {})
    job = {"id": "00", "collector": "c", "ledger": "l", "position": 1, "customer": ""}
    left = [("o", replace(october, body={**october.body, "pending": [job]}))]
    taken = replace(november, body={**november.body, "announced": [job]})
    assert list(joined_months([left, [("n", taken)]])) == []
    (finding,) = joined_months([left, [("n", november)]])
    assert "pending jobs that it took over" in finding.detail
    old = {name: value for name, value in november.body.items() if name != "announced"}
    assert list(joined_months([left, [("n", replace(november, body=old))]])) == []


def test_a_month_that_is_not_over_is_not_complete(tmp_path: Path) -> None:
    """Whether a calendar month is whole is counted again too, from what was covered."""
    made = delivery(tmp_path, BOOK, (1, 4), counted_at=OCTOBER.end)
    body = dict(made.body)
    lines: Any = body["months"]
    body["months"] = [{**line, "complete": not line["complete"]} for line in lines]
    (tmp_path / "manifest.json").write_bytes(manifests.signed(body, KEYS))
    (finding,) = verify([tmp_path], Trust()).findings
    assert (finding.kind, "months" in finding.detail) == (Kind.ALTERED, True)


@pytest.mark.parametrize("seconds", [59, 60, 61])
def test_a_conflict_with_an_earlier_month_is_counted_again(tmp_path: Path, seconds: int) -> None:
    """Its manifest tells both durations, where they differ; one that its files deny is found."""
    book = Ledger([event("a", 60), event("b", 60), event("a", seconds, extra=1), event("c", 60)])
    first, second = months(tmp_path, claimed=True, book=book)
    assert verify([first, second], Trust()).findings == ()
    path = second / "manifest.json"
    with path.open("rb") as file:
        body = dict(manifests.read(file, {}).body)
    told: Any = body["conflicts"]
    assert len(told) == (seconds != 60)
    told = told or [{"id": "00"}]
    body["conflicts"] = [{**line, "seconds": [1.0, 2.0]} for line in told]
    path.write_bytes(manifests.signed(body, KEYS))
    (finding,) = verify([first, second], Trust()).findings
    assert (finding.kind, "conflicts" in finding.detail) == (Kind.ALTERED, True)


def test_a_manifest_vouches_for_the_keys_before_a_rotation(tmp_path: Path) -> None:
    """The new key alone proves a month whose packages were signed with the old one."""
    delivery(tmp_path, BOOK, (1, 4), counted_at=OCTOBER.end, keys=OTHER_KEYS)
    old = tmp_path / "manifest.json"
    with old.open("rb") as file:
        body = manifests.read(file, {}).body
    old.write_bytes(manifests.signed(dict(body), KEYS))
    pinned = Trust(proofs={KEYS.proof_kid: KEYS.public})
    assert verify([tmp_path], pinned).ok
    stranger = ledger(3, id="another-ledger").save(tmp_path, 1, 3, OTHER_KEYS)
    kinds = {(one.kind, one.file) for one in verify([tmp_path], pinned).findings}
    assert kinds == {(Kind.NOT_OURS, str(stranger))}
    (package,) = tmp_path.glob("*-1-4.json.gz")
    assert not verify([package], pinned).ok


def test_a_key_can_be_pinned_by_its_id(tmp_path: Path) -> None:
    """The id alone is enough, for each file carries its key; another id is not ours."""
    delivery(tmp_path, BOOK, (1, 4), counted_at=OCTOBER.end)
    good = command("verify", "--kid", KEYS.proof_kid.upper(), tmp_path, "--json")
    assert (good.code, good.facts["self_asserted"]) == (0, False)
    bad = command("verify", "--kid", OTHER_KEYS.proof_kid, tmp_path, "--json")
    assert bad.code == 1
    assert {one["kind"] for one in bad.facts["findings"]} == {"not ours"}
    wrong = command("verify", "--kid", "abc", tmp_path)
    assert (wrong.code, "--kid" in wrong.err) == (2, True)


def test_every_key_that_is_given_will_do(tmp_path: Path) -> None:
    """Old and new ones, in one file or in several; packages of another key are not ours."""
    for first, keys in ((1, OTHER_KEYS), (3, KEYS)):
        BOOK.save(tmp_path, first, first + 1, keys)
    new, old = (one.proof.public_key() for one in (KEYS, OTHER_KEYS))
    pem = [one.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for one in (new, old)]
    for name, text in (("new", pem[0]), ("old", pem[1]), ("both", b"".join(pem))):
        (tmp_path / name).write_bytes(text)

    def verified(*names: str) -> int:
        words = [word for name in names for word in ("--proof-key", tmp_path / name)]
        return command("verify", tmp_path, *words).code

    assert [verified("both"), verified("new", "old")] == [0, 0]
    assert [verified("new"), verified("old")] == [1, 1]


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What the explained check says, run by a shell in an empty folder."""
    folder.mkdir()
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail"],
        input=script, text=True, capture_output=True, check=False, cwd=folder,
    )  # fmt: skip


def test_the_explained_check_works_with_standard_tools(tmp_path: Path) -> None:
    """OpenSSL and Python's own library prove a package, a manifest, and a window's package."""
    made = ledger(250)
    odd = Ledger([*made.events[:249], event('é\\"]}', 3, customer_id="},{")], made.id)
    delivery(tmp_path / "a b", odd, (1, 250), counted_at=OCTOBER.end)
    (package,) = (tmp_path / "a b").glob("*.gz")
    done = run(explain(package), tmp_path / "1")
    assert "Signature Verified Successfully" in done.stdout, done.stderr
    assert "250 events, the chain holds" in done.stdout
    assert KEYS.proof_kid in done.stdout
    told = command("verify", "--explain", tmp_path / "a b" / "manifest.json")
    done = run(told.out, tmp_path / "2")
    assert "Signature Verified Successfully" in done.stdout, done.stderr
    windowed = tmp_path / "window.json"
    windowed.write_bytes(window(odd, [3, 5]))
    assert run(explain(windowed), tmp_path / "3").returncode == 0


def test_the_explained_check_finds_what_was_changed(tmp_path: Path) -> None:
    """A script made for the honest file refuses the altered one, and so does one of its own."""
    path = ledger(20).save(tmp_path, 1, 20)
    honest = explain(path)
    replace_in(path, b'"Acme"', b'"Emca"')
    for number, script in enumerate((honest, explain(path))):
        done = run(script, tmp_path / str(number))
        assert done.returncode != 0
        assert "Verified Successfully" not in done.stdout
    unchecked = run(
        explain(path).replace("openssl pkeyutl", "true openssl pkeyutl"), tmp_path / "x"
    )
    assert "ALTERED" in unchecked.stdout


def test_explaining_needs_a_file(tmp_path: Path) -> None:
    """A folder, or what is no package, is told as such."""
    assert command("verify", "--explain", tmp_path).code == 2
    (tmp_path / "x.json").write_text("{}")
    assert command("verify", "--explain", tmp_path / "x.json").code == 1


@given(st.lists(st.binary(min_size=0, max_size=200), max_size=50))
def test_counted_identities_come_back_as_they_were_added(identities: list[bytes]) -> None:
    """Whatever their lengths, and however often they are read."""
    counted = Counted()
    for one in identities:
        counted.add(one)
    assert list(counted) == list(counted) == identities
    counted.close()
