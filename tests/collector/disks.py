"""Real file systems of a test's own, in files on loop devices."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.collector.debian import lacking, needed

if TYPE_CHECKING:
    from collections.abc import Iterator


def _need_root() -> None:
    if os.geteuid() != 0:
        lacking("mounting a file system needs root")


def make(image: Path, size: int) -> None:
    """A sparse image of that many bytes with an ext4 in it."""
    _need_root()
    needed("e2fsprogs", lambda: shutil.which("mkfs.ext4"))
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)


@contextmanager
def mounted(image: Path, options: str = "loop") -> Iterator[Path]:
    """The folder where the image is mounted meanwhile."""
    folder = Path(tempfile.mkdtemp(prefix="disk-"))
    done = subprocess.run(
        ["mount", "-o", options, image, folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        folder.rmdir()
        lacking(f"no loop devices here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


@contextmanager
def memory(size: int) -> Iterator[Path]:
    """A folder in memory that holds that many bytes and no more."""
    _need_root()
    folder = Path(tempfile.mkdtemp(prefix="memory-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


def repair(image: Path) -> None:
    """What a node does before it mounts a file system again that failed."""
    subprocess.run(["e2fsck", "-p", "-f", image], capture_output=True, check=False)


def device(folder: Path) -> str:
    """The name of the loop device that is mounted there."""
    command = ["findmnt", "-no", "SOURCE", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip()).name
