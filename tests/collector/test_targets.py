"""Delivering into a folder: whole files, never overwritten."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from usage_collector.errors import DeliveryFailed, InvalidInput
from usage_collector.targets import Folder, destination

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A file to deliver."""
    path = tmp_path / "spool" / "a.json.gz"
    path.parent.mkdir()
    path.write_bytes(b"package")
    return path


def test_files_arrive_whole_and_once(tmp_path: Path, package: Path) -> None:
    """Delivering again finds the file there and changes nothing."""
    folder = Folder(tmp_path / "exports")
    assert folder.held("2026-10") == {}
    assert folder.deliver("2026-10", [package]) == ["a.json.gz"]
    stamp = (tmp_path / "exports/2026-10/a.json.gz").stat().st_mtime_ns
    assert folder.deliver("2026-10", [package]) == []
    assert (tmp_path / "exports/2026-10/a.json.gz").stat().st_mtime_ns == stamp
    assert folder.held("2026-10") == {"a.json.gz": hashlib.sha256(b"package").hexdigest()}
    assert folder.fetch("2026-10", "a.json.gz") == b"package"
    assert folder.fetch("2026-10", "b.json.gz") is None


def test_another_file_of_the_same_name_is_never_overwritten(tmp_path: Path, package: Path) -> None:
    """What was delivered stays what it was."""
    folder = Folder(tmp_path / "exports")
    folder.deliver("2026-10", [package])
    package.write_bytes(b"another")
    with pytest.raises(DeliveryFailed, match="nothing is ever overwritten"):
        folder.deliver("2026-10", [package])
    assert folder.fetch("2026-10", "a.json.gz") == b"package"


def test_what_a_killed_run_left_behind_is_no_file(tmp_path: Path, package: Path) -> None:
    """A half-written part is not listed, and the next run writes over it."""
    folder = Folder(tmp_path / "exports")
    (tmp_path / "exports/2026-10").mkdir(parents=True)
    (tmp_path / "exports/2026-10/.a.json.gz.part").write_bytes(b"half of something longer")
    assert folder.held("2026-10") == {}
    folder.deliver("2026-10", [package])
    assert [path.name for path in (tmp_path / "exports/2026-10").iterdir()] == ["a.json.gz"]
    assert folder.fetch("2026-10", "a.json.gz") == b"package"


def test_trouble_with_the_folder_is_a_failed_delivery(tmp_path: Path, package: Path) -> None:
    """A path that cannot be a folder says so and what to do."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DeliveryFailed, match="check its rights"):
        Folder(tmp_path / "file").deliver("2026-10", [package])


def test_only_known_kinds_of_destinations_are_taken(tmp_path: Path) -> None:
    """A folder is; what cannot be delivered to is refused before anything is done."""
    assert destination(str(tmp_path)).name == str(tmp_path)
    with pytest.raises(InvalidInput, match="unknown kind"):
        destination("ftp://example.org")
