"""Debian packages that some tests need, installed where they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, NoReturn, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


def needed(package: str, find: Callable[[], _T | None]) -> _T:
    """What ``find`` finds, if need be after installing the package as root.

    Skips the test where it cannot be had; in CI that is a failure.
    """
    found = find()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _install(package)
        found = find()
    if found is None:
        lacking(f"{package} is not installed (Debian: apt-get install {package})")
    return found


def lacking(what: str) -> NoReturn:
    """Skip the test, which cannot be run here; in CI that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def _install(package: str) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    install = [*apt, "install", "--yes", "--no-install-recommends", package]
    if subprocess.run(install, env=quiet, capture_output=True, check=False).returncode:
        # The package lists of a fresh machine are missing or name versions that are gone.
        subprocess.run([*apt, "update"], env=quiet, capture_output=True, check=False)
        subprocess.run(install, env=quiet, capture_output=True, check=False)
