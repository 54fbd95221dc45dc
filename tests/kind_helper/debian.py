"""Installs the Debian packages that local nodes need, without starting their services."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.kind_helper import versions
from tests.kind_helper.errors import CommandFailed, KindHelperError
from tests.kind_helper.progress import Progress
from tests.kind_helper.run import run

_POLICY = Path("/usr/sbin/policy-rc.d")
_NO_SERVICES = "#!/bin/sh\n# Made by the usage kind-helper while it installs packages.\nexit 101\n"


def missing(packages: Sequence[str] = versions.DEBIAN_PACKAGES) -> list[str]:
    """The packages that are not installed. Raises `KindHelperError` where there is no dpkg."""
    if not shutil.which("dpkg-query"):
        raise KindHelperError(
            "local nodes need the Debian packages " + ", ".join(packages),
            "This system has no dpkg: use kind, or name a cluster with --context.",
        )
    shown = run(["dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\n"])
    return not_installed(packages, shown)


def not_installed(packages: Sequence[str], listing: str) -> list[str]:
    """Those of `packages` that a `dpkg-query` listing of name and status lacks."""
    present = {line.split()[0] for line in listing.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in present]


def install(progress: Progress) -> None:
    """Install what is missing with apt. Raises `CommandFailed` when apt cannot."""
    wanted = missing()
    if not wanted:
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    with (
        progress.step(f"installing the Debian packages {', '.join(wanted)}", 15),
        _no_services(),
    ):
        command = [*apt, "install", "--yes", "--no-install-recommends", *wanted]
        try:
            run(command, env=environment)
        except CommandFailed:
            # The package lists of a fresh machine are missing or name versions that are gone.
            run([*apt, "update"], env=environment, hint="The package lists could not be renewed.")
            run(command, env=environment)


@contextmanager
def _no_services() -> Iterator[None]:
    """Forbid packages to start services meanwhile, unless the machine already decides that."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text(_NO_SERVICES)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
