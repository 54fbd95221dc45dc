"""Builds the pinned programs into the user's cache, once, and says where they are."""

import hashlib
import os
import platform
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.kind_helper import paths, toolchain, versions
from tests.kind_helper.locks import locked
from tests.kind_helper.progress import Progress, Silent
from tests.kind_helper.run import run
from tests.kind_helper.versions import Part

_NO_BUILD = (
    "Building needs the Go module proxy. `go env GOPROXY` shows which one is asked; then try again."
)


def linker_flags(part: Part) -> str:
    """What the linker writes into the program: its version, without debug symbols."""
    flags = ["-s", "-w"]
    if part.module == "kubernetes":
        major, minor, _ = part.version.split(".")
        place = "k8s.io/component-base/version"
        flags += [
            f"-X {place}.gitVersion=v{part.version}",
            f"-X {place}.gitMajor={major}",
            f"-X {place}.gitMinor={minor}",
        ]
    return " ".join(flags)


def module_folder(part: Part) -> Path | None:
    """The folder with the part's own go.mod, where it has one."""
    return paths.HERE / "modules" / part.module if part.module else None


def cache_key(part: Part, machine: str, module_files: Iterable[bytes] = ()) -> str:
    """The name of the cache folder: a new one for every change of what would be built."""
    digest = hashlib.sha256(f"{linker_flags(part)}\n{machine}\n".encode())
    for content in module_files:
        digest.update(hashlib.sha256(content).digest())
    return f"{part.group}-{part.version}-{digest.hexdigest()[:10]}"


def program(name: str) -> Path:
    """Where the program is, or will be once built. Raises KeyError for an unknown name."""
    part = {part.name: part for part in (*versions.PARTS, *versions.OPTIONAL)}[name]
    folder = module_folder(part)
    files = [(folder / name).read_bytes() for name in ("go.mod", "go.sum")] if folder else []
    key = cache_key(part, platform.machine(), files)
    return paths.cache() / "bin" / key / part.name


def missing(parts: Sequence[Part] = versions.PARTS) -> list[Part]:
    """The parts that still have to be built."""
    return [part for part in parts if not program(part.name).exists()]


def build_command(go: Path, part: Part, out: Path) -> list[str]:
    """The command that builds one part; published modules are installed into `GOBIN` instead."""
    flags = ["-trimpath", "-buildvcs=false", "-ldflags", linker_flags(part)]
    if part.module:
        return [str(go), "build", "-mod=readonly", *flags, "-o", str(out), part.package]
    return [str(go), "install", *flags, f"{part.package}@v{part.version}"]


def build(parts: Sequence[Part] = versions.PARTS, progress: Progress | None = None) -> None:
    """Build what is missing, one builder at a time on this machine.

    Raises `CommandFailed` where Go cannot build a part.
    """
    progress = progress or Silent()
    if not missing(parts):
        return

    def waiting() -> None:
        (progress or Silent()).note("another process is building the programs: waiting for it")

    with locked(paths.cache() / "bin", waiting):
        left = missing(parts)
        if not left:
            return
        go = toolchain.go(progress)
        total = sum(part.seconds for part in left)
        progress.note(
            f"{len(left)} programs are built once into {paths.cache() / 'bin'}: "
            f"usually {total // 60 + 1} minutes on two cores"
        )
        for index, part in enumerate(left, 1):
            with progress.step(f"building {part.name} ({index} of {len(left)})", part.seconds):
                _build_one(go, part)


def _build_one(go: Path, part: Part) -> None:
    target = program(part.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f".{part.name}.*"):
        # Of a killed builder: there is one at a time.
        shutil.rmtree(left)
    work = target.parent / f".{part.name}.{os.getpid()}"
    work.mkdir()
    try:
        environment = toolchain.environment(go) | {"GOBIN": str(work)}
        command = build_command(go, part, work / part.name)
        run(command, env=environment, cwd=module_folder(part) or work, hint=_NO_BUILD)
        # Renaming is atomic: a killed build leaves no half program under the real name.
        (work / part.name).rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
