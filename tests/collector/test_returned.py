"""What a restore came to, in words for people and for the operator."""

from __future__ import annotations

import json

import pytest

from usage_collector.backup import Return
from usage_collector.backup.index import Index
from usage_collector.backup.returning import Coming
from usage_collector.cli import backup
from usage_collector.cli.returned import Told, summary

BACKUP = Index(collector="c-0", zone="eu-1a")
DAMAGED = Return(
    BACKUP,
    "c-0",
    Coming("1234567890", "damaged", 600, 600, [(1, 600)], [(601, 950)], open_end=False),
)
ANSWER: dict[str, object] = {
    "came_back": [[1, 600]],
    "salvaged": [[601, 800], [901, 950]],
    "lost": [[801, 900]],
}


def test_what_damaged_files_still_gave_is_told_and_counted() -> None:
    """Beside what came from the backup; only the rest is lost."""
    told = json.loads(summary(Told([DAMAGED], [(DAMAGED, ANSWER)], dry_run=False)))
    where = "c-0, ledger 12345678"
    read = "from the damaged files 601 to 800, 901 to 950"
    assert told["came_back"] == [f"{where}: 1 to 600 and {read} came back"]
    assert told["lost"] == [f"{where}: 801 to 900"]
    assert told["events"] == 850


def test_a_dry_run_takes_nothing_for_lost_that_damaged_files_may_give() -> None:
    """Nobody knows before it is tried."""
    told = json.loads(summary(Told([DAMAGED], [], dry_run=True)))
    assert told["came_back"] == ["c-0, ledger 12345678: 1 to 600 would come back"]
    assert told["lost"] == [
        "c-0, ledger 12345678: 601 to 950, but for what its damaged files still give"
    ]
    assert told["events"] == 600


def test_what_came_back_after_all_is_not_lost() -> None:
    """Once it was tried only what is lost then counts; before, what may be."""
    whole = {**ANSWER, "salvaged": [[601, 950]], "lost": []}
    assert not Told([DAMAGED], [(DAMAGED, whole)], dry_run=False).lossy
    assert Told([DAMAGED], [(DAMAGED, ANSWER)], dry_run=False).lossy
    assert Told([DAMAGED], [], dry_run=True).lossy


@pytest.mark.parametrize("letter", ["a", "ü", '"'])
def test_a_backup_s_result_fits_where_a_job_leaves_it(letter: str) -> None:
    """However much came back or is lost: cut off by somebody else it could not be read at all."""
    told = {
        "result": "failed",
        "ok": False,
        "location": "s3://bucket/prefix",
        "events": 10**12,
        "error": letter * 5000,
        "restored": [letter * 5000] * 9,
        "collectors": ["c"] * 1000,
    }
    text = backup.short(told)
    assert len(text) <= backup.MOST_BYTES
    found = json.loads(text)
    assert found["error"].startswith(letter)
    assert found["restored"][0].startswith(letter)
