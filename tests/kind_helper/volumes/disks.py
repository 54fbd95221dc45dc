"""The disks themselves: sparse files with XFS on loop devices, mounted on the host.

Each has a file `NAME.xfs` and a mount point `NAME` in one folder. Every action may be repeated.
"""

import json
from pathlib import Path

from tests.kind_helper.errors import CommandFailed
from tests.kind_helper.run import run


class Disks:
    """The disks of one cluster."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def file(self, name: str) -> Path:
        """The file that holds the disk."""
        return self._folder / f"{name}.xfs"

    def mount_point(self, name: str) -> Path:
        """Where the disk is mounted."""
        return self._folder / name

    def create(self, name: str, size: int) -> None:
        """Make and mount a disk of `size` bytes, unless it is there. Raises `CommandFailed`."""
        file, point = self.file(name), self.mount_point(name)
        if not file.exists():
            part = file.with_suffix(".part")
            run(["truncate", "--size", str(size), part])
            run(["mkfs.xfs", "-q", "-f", part])
            part.rename(file)
        point.mkdir(exist_ok=True)
        if not point.is_mount():
            devices = self._devices(file)
            device = devices[0] if devices else self._attach(file)
            run(["mount", "-t", "xfs", device, point])

    def grow(self, name: str, size: int) -> None:
        """Grow a mounted disk to `size` bytes while it is in use. Raises `CommandFailed`."""
        file = self.file(name)
        if file.stat().st_size < size:
            run(["truncate", "--size", str(size), file])
        for device in self._devices(file):
            run(["losetup", "--set-capacity", device])
        run(["xfs_growfs", "-d", self.mount_point(name)])

    def remove(self, name: str) -> None:
        """Unmount the disk and free its space, unless it is gone. Raises `CommandFailed`."""
        file, point = self.file(name), self.mount_point(name)
        while point.is_mount():
            run(["umount", point])
        for device in self._devices(file) if file.exists() else []:
            run(["losetup", "--detach", device])
        file.unlink(missing_ok=True)
        if point.exists():
            point.rmdir()

    def _attach(self, file: Path) -> str:
        # Another user of loop devices may take the free one first: the second try gets the next.
        command = ["losetup", "--find", "--show", file]
        try:
            return run(command).strip()
        except CommandFailed:
            return run(command).strip()

    def _devices(self, file: Path) -> list[str]:
        listing = run(["losetup", "--json", "--output", "NAME", "--associated", file])
        found = json.loads(listing)["loopdevices"] if listing.strip() else []
        return [str(device["name"]) for device in found]
