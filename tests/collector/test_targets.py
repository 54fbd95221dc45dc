"""Delivering into a folder: whole files, never overwritten."""

from __future__ import annotations

import hashlib
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.collector.debian import lacking
from usage_collector.errors import DeliveryFailed, InvalidInput
from usage_collector.targets import Folder, Parcel, destination

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A file to deliver."""
    path = tmp_path / "spool" / "a.json.gz"
    path.parent.mkdir()
    path.write_bytes(b"package")
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        lacking(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_files_arrive_whole_and_once(tmp_path: Path, package: Path) -> None:
    """Delivering again finds the file there and changes nothing."""
    folder = Folder(tmp_path / "exports")
    assert folder.held("2026-10") == {}
    assert folder.deliver(Parcel(folder="2026-10", files=[package])) == ["a.json.gz"]
    stamp = (tmp_path / "exports/2026-10/a.json.gz").stat().st_mtime_ns
    assert folder.deliver(Parcel(folder="2026-10", files=[package])) == []
    assert (tmp_path / "exports/2026-10/a.json.gz").stat().st_mtime_ns == stamp
    assert folder.held("2026-10") == {"a.json.gz": hashlib.sha256(b"package").hexdigest()}
    assert folder.fetch("2026-10", "a.json.gz") == b"package"
    assert folder.fetch("2026-10", "b.json.gz") is None


def test_another_file_of_the_same_name_is_never_overwritten(tmp_path: Path, package: Path) -> None:
    """What was delivered stays what it was."""
    folder = Folder(tmp_path / "exports")
    folder.deliver(Parcel(folder="2026-10", files=[package]))
    package.write_bytes(b"another")
    with pytest.raises(DeliveryFailed, match="nothing is ever overwritten"):
        folder.deliver(Parcel(folder="2026-10", files=[package]))
    assert folder.fetch("2026-10", "a.json.gz") == b"package"


def test_what_a_killed_run_left_behind_is_no_file(tmp_path: Path, package: Path) -> None:
    """A half-written part is not listed, and the next run writes over it."""
    folder = Folder(tmp_path / "exports")
    (tmp_path / "exports/2026-10").mkdir(parents=True)
    (tmp_path / "exports/2026-10/.a.json.gz.part").write_bytes(b"half of something longer")
    assert folder.held("2026-10") == {}
    folder.deliver(Parcel(folder="2026-10", files=[package]))
    assert [path.name for path in (tmp_path / "exports/2026-10").iterdir()] == ["a.json.gz"]
    assert folder.fetch("2026-10", "a.json.gz") == b"package"


def test_trouble_with_the_folder_is_a_failed_delivery(tmp_path: Path, package: Path) -> None:
    """A path that cannot be a folder says so and what to do."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DeliveryFailed, match="Not a directory: check"):
        Folder(tmp_path / "file").deliver(Parcel(folder="2026-10", files=[package]))


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """What it holds is unknown then, which is not nothing."""
    (tmp_path / "file").write_bytes(b"")
    folder = Folder(tmp_path / "file")
    with pytest.raises(DeliveryFailed):
        folder.held("2026-10")
    with pytest.raises(DeliveryFailed):
        folder.fetch("2026-10", "manifest.json")


def test_a_full_folder_is_told_and_left_clean(small_disk: Path, package: Path) -> None:
    """The file that did not fit leaves nothing behind, and the message names the place."""
    package.write_bytes(b"x" * 100_000)
    with pytest.raises(DeliveryFailed, match="No space left"):
        Folder(small_disk).deliver(Parcel(folder="2026-10", files=[package]))
    assert list((small_disk / "2026-10").iterdir()) == []
    package.write_bytes(b"small")
    assert Folder(small_disk).deliver(Parcel(folder="2026-10", files=[package])) == ["a.json.gz"]


def test_two_runs_at_once_never_harm_a_delivered_file(tmp_path: Path, package: Path) -> None:
    """The second one stops, or finds the file there, whenever it comes."""
    folder = Folder(tmp_path / "exports")
    package.write_bytes(b"package" * 100_000)

    def deliver() -> bool:
        try:
            return bool(folder.deliver(Parcel(folder="2026-10", files=[package])))
        except DeliveryFailed as error:
            return "another run" not in str(error)

    for _ in range(50):
        with ThreadPoolExecutor(4) as pool:
            delivered = [one.result() for one in [pool.submit(deliver) for _ in range(4)]]
        there = tmp_path / "exports/2026-10"
        assert sum(delivered) == 1
        assert [path.name for path in there.iterdir()] == ["a.json.gz"]
        assert (there / "a.json.gz").read_bytes() == package.read_bytes()
        (there / "a.json.gz").unlink()


def test_only_known_kinds_of_destinations_are_taken(tmp_path: Path) -> None:
    """A folder is; what cannot be delivered to is refused before anything is done."""
    assert destination(str(tmp_path)).name == str(tmp_path)
    with pytest.raises(InvalidInput, match="unknown kind"):
        destination("ftp://example.org")


@pytest.mark.parametrize(
    "text",
    [
        "https://[::1/x",
        "https://a..b/x",
        "https://user:secret@" + "a" * 64,
        "s3://[::1",
        "s3://bucket?endpoint=https://[::1",
        "mailto:a@example.org?host=a..b",
    ],
)
def test_an_address_that_is_none_is_refused_at_once(text: str) -> None:
    """Not in the middle of a run, where the other destinations would wait for it in vain."""
    with pytest.raises(InvalidInput, match="is no address") as refused:
        destination(text, {})
    assert "secret" not in str(refused.value)
