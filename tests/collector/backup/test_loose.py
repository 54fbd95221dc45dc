"""Packages by themselves, read as a backup."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collector import made
from usage_collector.backup import loose
from usage_collector.errors import Damaged
from usage_collector.packages import manifest

LEDGER = made.ledger(450)
OTHER = made.ledger(30, id="1c7f2d0a-6e1f-4d2c-8e6f-3a7b4f2c8d22", collector="speech-eu-1b-0")
NOVEMBER = int(datetime(2026, 11, 28, tzinfo=UTC).timestamp()) * 1_000_000


def test_each_collector_s_packages_are_a_backup(tmp_path: Path) -> None:
    """In the order of positions, however they lie in folders and files."""
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    LEDGER.save(deep, 301, 450, period=None)
    LEDGER.save(tmp_path, 1, 300, period=None)
    file = OTHER.save(deep, 1, 30, period=None)
    first, second = sorted(
        loose.gather([tmp_path, file], None), key=lambda one: one.index.collector
    )
    assert (first.index.collector, first.index.zone) == ("speech-eu-1a-0", "eu-1a")
    assert [(one.first, one.last) for one in first.index.packages] == [(1, 300), (301, 450)]
    assert (first.index.periods, second.index.events) == ([], 30)
    with first.store.open(first.index.packages[0].file) as package:
        assert package.read(2) == b"\x1f\x8b"


def test_packages_say_what_was_cut_and_so_do_manifests(tmp_path: Path) -> None:
    """A month's own packages name it; those of a backup need the manifest beside them."""
    LEDGER.save(tmp_path, 1, 400, period=None)
    LEDGER.save(tmp_path, 301, 380, period="2026-10")
    made.delivery(tmp_path / "2026-11", LEDGER, (381, 400), "2026-11", counted_at=NOVEMBER)
    (tmp_path / "2026-11").joinpath("manifest.json").rename(tmp_path / "manifest.json")
    for package in (tmp_path / "2026-11").iterdir():
        package.unlink()
    (source,) = loose.gather([tmp_path], None)
    assert [(one.first, one.last) for one in source.index.packages] == [(1, 400)]
    october, november = source.index.periods
    assert (october.period, october.ends) == ("2026-10", {LEDGER.id: 380})
    assert (november.period, november.ends) == ("2026-11", {LEDGER.id: 400})
    assert [(one.first, one.last, one.count) for one in november.files] == [(381, 400, 20)]
    assert november.cut_at == datetime(2026, 11, 28, tzinfo=UTC)
    # The month of the first cut is owed at the earliest, never one before.
    assert source.index.ledgers[0].began == datetime(2026, 10, 1, tzinfo=UTC)


def test_the_newest_manifest_of_each_month_is_given_back(tmp_path: Path) -> None:
    """In whatever folders they lie; it lists what those before it do."""
    LEDGER.save(tmp_path, 1, 400, period=None)
    for month in ("2026-10", "2026-11"):
        made.delivery(tmp_path / month, LEDGER, (381, 400), month, counted_at=NOVEMBER)
    first = tmp_path / "2026-11" / "manifest.json"
    with first.open("rb") as file:
        body = manifest.read(file, {}).body
    second = tmp_path / "a" / "manifest-2.json"
    second.parent.mkdir()
    second.write_bytes(manifest.signed({**body, "revision": 2}, made.KEYS))
    (source,) = loose.gather([tmp_path], None)
    assert [(one.period, one.file) for one in source.index.manifests] == [
        ("2026-10", str(tmp_path / "2026-10" / "manifest.json")),
        ("2026-11", str(second)),
    ]


def test_an_altered_file_is_named(tmp_path: Path) -> None:
    """A package or a manifest that is not as it was signed brings nothing back."""
    path = LEDGER.save(tmp_path, 1, 100, period=None)
    made.replace_in(path, b"job-7", b"job-8")
    with pytest.raises(Damaged, match=path.name):
        loose.gather([tmp_path], None)
    path.unlink()
    made.delivery(tmp_path / "2026-11", LEDGER, (1, 20), "2026-11", counted_at=NOVEMBER)
    altered = tmp_path / "2026-11" / "manifest.json"
    altered.write_bytes(altered.read_bytes().replace(b'"last":20', b'"last":10'))
    with pytest.raises(Damaged, match=r"manifest\.json"):
        loose.gather([tmp_path], None)


_STRETCHES = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 15)).map(lambda one: (one[0], sum(one))),
    min_size=1,
    max_size=6,
)


@settings(deadline=None, max_examples=30)
@given(_STRETCHES)
def test_what_overlaps_is_taken_once(stretches: list[tuple[int, int]]) -> None:
    """All positions are there that were given, and no package is within another."""
    with tempfile.TemporaryDirectory() as folder:
        for first, last in stretches:
            LEDGER.save(Path(folder), first, last, period=None)
        (source,) = loose.gather([Path(folder)], None)
    found = [(one.first, one.last) for one in source.index.packages]
    assert set(found) <= set(stretches)
    positions = {p for first, last in found for p in range(first, last + 1)}
    assert positions == {p for first, last in stretches for p in range(first, last + 1)}
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(found))
