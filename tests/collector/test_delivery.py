"""A delivery against its manifest, and months against each other."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.collector.made import OTHER_KEYS, Ledger, delivery, event, ledger, replace_in
from usage_collector.errors import InvalidInput
from usage_collector.packages import Finding, Kind, Malformed, Trust, verify
from usage_collector.packages.delivery import resumed
from usage_collector.periods import Period
from usage_collector.sessions import HOUR, SECOND

if TYPE_CHECKING:
    from pathlib import Path

OCTOBER, NOVEMBER = Period(2026, 10), Period(2026, 11)
JOBS = ledger(40)


def status(session: str, seconds: float, time: str, kind: str = "SESSION_STATUS") -> bytes:
    """One event of a real-time session."""
    return event(session, seconds, event=kind, time_stamp=time)


ALIVE = Ledger(
    [
        status("lost", 300, "2026-10-31T23:50:00Z"),
        status("ends", 300, "2026-10-31T23:55:00Z"),
        status("ends", 900, "2026-11-01T00:05:00Z", "SESSION_ENDED"),
    ]
)


def found(*paths: Path) -> list[tuple[Kind, str]]:
    """The kinds of what is wrong with these deliveries, and the names of the files."""
    return [(one.kind, one.file.rpartition("/")[2]) for one in findings(*paths)]


def findings(*paths: Path) -> tuple[Finding, ...]:
    """What is wrong with these deliveries."""
    return verify(paths, Trust()).findings


def test_a_session_alive_at_the_cut_is_counted_in_the_next_month(tmp_path: Path) -> None:
    """Also when nothing more is ever heard of it: then it is estimated, and not lost."""
    first = delivery(tmp_path / "2026-10", ALIVE, (1, 2), counted_at=OCTOBER.end)
    assert first.part("totals")["after"]["count"] == 0  # type: ignore[index]
    carried = first.lines("carried")
    assert len(carried) == 2
    second = delivery(
        tmp_path / "2026-11",
        ALIVE,
        (3, 3),
        "2026-11",
        counted_at=NOVEMBER.end,
        resumed=carried,
    )
    after = second.part("totals")["after"]
    assert (after["count"], after["seconds"]) == (2, 1200.0)  # type: ignore[index]
    assert [line["seconds"] for line in second.lines("estimates")] == [300.0]
    assert second.lines("carried") == []
    report = verify([tmp_path], Trust())
    assert report.findings == ()
    assert report.totals.all.duration == 1200 * SECOND


def test_what_one_month_left_the_next_must_take_over(tmp_path: Path) -> None:
    """A manifest that forgets a session which was alive is found by the one before."""
    delivery(tmp_path / "2026-10", ALIVE, (1, 2), counted_at=OCTOBER.end)
    delivery(tmp_path / "2026-11", ALIVE, (3, 3), "2026-11", counted_at=NOVEMBER.end)
    assert found(tmp_path / "2026-11") == []
    assert found(tmp_path) == [(Kind.ALTERED, "manifest.json")]


def test_a_session_alive_over_two_cuts_stays_alive(tmp_path: Path) -> None:
    """What is heard later counts; what was carried over is heard of only once."""
    soon = OCTOBER.end + HOUR // 4
    first = delivery(tmp_path / "a", ALIVE, (1, 2), counted_at=OCTOBER.end)
    more = Ledger([*ALIVE.events[:2], status("lost", 600, "2026-10-31T23:59:00Z")])
    resumed = first.lines("carried")
    second = delivery(tmp_path / "b", more, (3, 3), "2026-11", counted_at=soon, resumed=resumed)
    assert sorted(str(line["seconds"]) for line in second.lines("carried")) == ["300.0", "600.0"]


def test_a_changed_summary_is_found(tmp_path: Path) -> None:
    """It is what people read, so it is proved like the packages."""
    delivery(tmp_path, JOBS, (1, 40), counted_at=OCTOBER.end)
    assert found(tmp_path) == []
    table = tmp_path / "summary.csv"
    table.write_bytes(table.read_bytes().replace(b"total", b"Total"))
    assert found(tmp_path) == [(Kind.ALTERED, "summary.csv")]
    table.unlink()
    assert found(tmp_path) == [(Kind.MISSING, "summary.csv")]


def test_a_manifest_of_another_month_is_found(tmp_path: Path) -> None:
    """Its files are not those of the folder, and a listed file must be of its month."""
    delivery(tmp_path / "2026-10", JOBS, (1, 20), counted_at=OCTOBER.end)
    delivery(tmp_path / "2026-11", JOBS, (21, 40), "2026-11", counted_at=NOVEMBER.end)
    assert found(tmp_path) == []
    shutil.copy(tmp_path / "2026-11/manifest.json", tmp_path / "2026-10/manifest.json")
    assert {kind for kind, _ in found(tmp_path / "2026-10")} >= {Kind.MISSING, Kind.NOT_OURS}


def test_an_older_revision_must_agree_with_the_newest(tmp_path: Path) -> None:
    """A revision signed anew over other files is told, and so is one that was renamed."""
    delivery(tmp_path, JOBS, (1, 20), counted_at=OCTOBER.end)
    delivery(tmp_path, JOBS, (1, 20), counted_at=OCTOBER.end, revision=2)
    assert found(tmp_path) == []
    other = tmp_path / "other"
    delivery(other, Ledger([event("x")] * 20), (1, 20), counted_at=OCTOBER.end)
    shutil.move(other / "manifest.json", tmp_path / "manifest.json")
    for name in ("summary.csv", "report.html"):
        shutil.move(other / name, tmp_path / name)
    shutil.rmtree(other)
    assert found(tmp_path) == [(Kind.ALTERED, "manifest.json")]
    (tmp_path / "manifest.json").unlink()
    (tmp_path / "manifest-2.json").rename(tmp_path / "manifest-3.json")
    assert found(tmp_path) == [(Kind.ALTERED, "manifest-3.json")]


def test_a_renamed_file_and_one_of_another_collector_are_found(tmp_path: Path) -> None:
    """The manifest knows each file by its name and content."""
    delivery(tmp_path, JOBS, (1, 40), counted_at=OCTOBER.end)
    stranger = Ledger([event("y")], "another-ledger", "other").save(tmp_path, 1, 1)
    assert found(tmp_path) == [(Kind.NOT_OURS, stranger.name)]
    stranger.unlink()
    (path,) = tmp_path.glob("*.gz")
    path.rename(tmp_path / "renamed.json.gz")
    assert {kind for kind, _ in found(tmp_path)} == {Kind.MISSING, Kind.NOT_OURS}


def test_a_file_signed_by_another_key_is_found_without_any_key(tmp_path: Path) -> None:
    """The manifest lists its hash, so replacing one file honestly signed does not pass."""
    delivery(tmp_path, JOBS, (1, 40), counted_at=OCTOBER.end)
    JOBS.save(tmp_path, 1, 40, OTHER_KEYS)
    assert [kind for kind, _ in found(tmp_path)] == [Kind.ALTERED]


def test_another_key_id_in_the_header_is_found(tmp_path: Path) -> None:
    """The header is not signed, but the manifest lists the whole file."""
    delivery(tmp_path, JOBS, (1, 40), counted_at=OCTOBER.end)
    (path,) = tmp_path.glob("*.gz")
    replace_in(path, b'"kid":"', b'"kid":"0')
    assert [kind for kind, _ in found(tmp_path)] == [Kind.ALTERED]


def test_a_manifest_alone_lacks_its_files(tmp_path: Path) -> None:
    """Nothing of what it says can be proved then."""
    delivery(tmp_path, JOBS, (1, 40), counted_at=OCTOBER.end)
    for path in tmp_path.glob("*.gz"):
        path.unlink()
    assert [kind for kind, _ in found(tmp_path)] == [Kind.MISSING]


def test_a_linked_file_counts_once_and_a_broken_link_is_told(tmp_path: Path) -> None:
    """A link is the file that it leads to; one that leads nowhere is never passed over."""
    delivery(tmp_path, JOBS, (1, 40), counted_at=OCTOBER.end)
    link = tmp_path / "link.json.gz"
    link.symlink_to(next(tmp_path.glob("usage*.gz")))
    report = verify([tmp_path], Trust())
    assert Kind.TWICE in {one.kind for one in report.findings}
    assert report.totals.all.count == 40
    link.unlink()
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match="does not exist"):
        verify([tmp_path], Trust())


@pytest.mark.parametrize(
    "line", [{}, {"id": "zz"}, {"id": "00", "seconds": -1}, {"id": "00", "seconds": 1e308}]
)
def test_nonsense_that_was_taken_over_is_a_finding(tmp_path: Path, line: dict[str, object]) -> None:
    """A signed manifest may still hold what is no session."""
    first = delivery(tmp_path / "a", ALIVE, (1, 2), counted_at=OCTOBER.end)
    good = first.lines("carried")[0]
    made = delivery(tmp_path / "b", JOBS, (1, 9), counted_at=NOVEMBER.end, resumed=[good])
    assert made.lines("resumed") == [good]
    assert found(tmp_path / "b") == []
    bad = {**good, **line} if line else {}
    made.body["resumed"].clear()  # type: ignore[attr-defined]
    made.body["resumed"].append(bad)  # type: ignore[attr-defined]
    with pytest.raises(Malformed):
        resumed(made)
