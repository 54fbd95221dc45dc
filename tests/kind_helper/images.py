"""Builds the project's images, with or without a container engine, and keeps them in a cache."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.kind_helper import archive, debian, engines, paths, versions
from tests.kind_helper.errors import CommandFailed, KindHelperError
from tests.kind_helper.local import clear
from tests.kind_helper.locks import locked
from tests.kind_helper.progress import Progress, Silent
from tests.kind_helper.run import run, succeeds

NAMES = ("collector", "operator")
"""The images: deploy/NAME.Containerfile gives localhost/usage-NAME."""
_INPUTS = ("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "collector", "operator")
_KEPT = 3
_BASE_PACKAGES = ("ca-certificates", "python3", "python3-venv")
_BASE_RECIPE = 1
"""Raise it to have every machine make its base image anew."""
_UNNEEDED = ("var/cache/apt/*", "var/lib/apt/lists/*", "var/log/*", "dev/*", "etc/resolv.conf")
_UNNEEDED_TREES = ("usr/share/man", "usr/share/locale", "usr/share/info")


def reference(name: str, tag: str = "dev") -> str:
    """The full name of an image of the project: `reference("collector")`."""
    return f"localhost/usage-{name}:{tag}"


def build_all(tag: str = "dev", progress: Progress | None = None) -> dict[str, Path]:
    """Build both images where anything has changed; their archives by full name.

    Raises `KindHelperError` where neither an engine nor root is to be had.
    """
    base = None if engines.running_engine() else base_image(progress)

    def one(name: str) -> Path:
        containerfile = paths.REPOSITORY / "deploy" / f"{name}.Containerfile"
        return build(containerfile, reference(name, tag), base, progress=progress)

    with ThreadPoolExecutor(len(NAMES)) as pool:
        archives = list(pool.map(one, NAMES))
    return {reference(name, tag): file for name, file in zip(NAMES, archives, strict=True)}


def build(
    containerfile: Path,
    tag: str,
    base: Path | None = None,
    *,
    inputs: Sequence[str] = _INPUTS,
    progress: Progress | None = None,
) -> Path:
    """Build an image named `tag` and return its docker archive; unchanged inputs are not rebuilt.

    `base` is the archive of `base_image`, or None for the one that the Containerfile names.
    `inputs` are the paths in the repository that the image depends on. Raises `CommandFailed`.
    """
    progress = progress or Silent()
    if not containerfile.is_file():
        raise KindHelperError(f"there is no {containerfile}", "Run this from a whole checkout.")
    key = inputs_key([containerfile, *(paths.REPOSITORY / name for name in inputs)], tag, base)
    folder = paths.cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    stem = tag.rpartition("/")[2].replace(":", "-")
    file = folder / f"{stem}-{key}.tar"
    lock = paths.cache() / "locks" / stem
    with locked(lock, lambda: progress.note(f"another process builds {tag}: waiting")):
        if file.exists():
            return file
        with progress.step(f"building the image {tag}", 25):
            _build(containerfile, tag, base, file)
        for old in sorted(folder.glob(f"{stem}-*.tar"), key=_age)[_KEPT:]:
            old.unlink()
    return file


def _age(file: Path) -> float:
    return -file.stat().st_mtime


def inputs_key(inputs: Sequence[Path], tag: str, base: Path | None) -> str:
    """A digest of all that goes into an image: file names and contents, name and base."""
    digest = hashlib.sha256(f"{tag}\n{base.name if base else ''}\n".encode())
    for root in inputs:
        for file in _files(root):
            name = str(file.relative_to(root.parent))
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()[:12]


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
    for file in sorted(root.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield file


def _build(containerfile: Path, tag: str, base: Path | None, file: Path) -> None:
    engine = engines.running_engine() or "buildah"
    with tempfile.TemporaryDirectory(prefix="usage-images-") as folder:
        mounted = engines.mounts(Path(folder))
        name = _base_name(base) if base else None
        if base and engine == "buildah" and not _known(str(name)):
            run([*engines.buildah(), "pull", "-q", f"docker-archive:{base}"])
        elif base and engine != "buildah":
            run([engine, "load", f"--input={base}"])
        run(
            engines.build_command(engine, containerfile, tag, name, mounted),
            timeout=1800,
            hint=f"The image is described by {containerfile}.",
        )
        part = file.with_name(f".{file.name}")
        part.unlink(missing_ok=True)
        run(engines.save_command(engine, tag, part))
        part.rename(file)
    if engine == "buildah":
        # The archive is what is used; what stays in the storage would only grow.
        run([*engines.buildah(), "rmi", "--force", tag])


def _known(name: str) -> bool:
    return succeeds([*engines.buildah(), "inspect", "--type=image", name])


def _base_name(base: Path) -> str:
    return f"localhost/usage-base:{base.stem.removeprefix('base-')}"


def base_image(progress: Progress | None = None) -> Path:
    """The archive of a Debian with Python, for machines that can pull none; made once.

    Raises `KindHelperError` without root, `CommandFailed` where Debian cannot be reached.
    """
    progress = progress or Silent()
    recipe = f"{versions.DEBIAN_SUITE} {_BASE_PACKAGES} {_BASE_RECIPE}"
    key = hashlib.sha256(recipe.encode()).hexdigest()[:10]
    file = paths.cache() / "images" / f"base-{key}.tar"
    if file.exists():
        return file
    if os.geteuid() != 0:
        raise KindHelperError(
            "images need a container engine or root", "Start docker or podman, or run as root."
        )
    debian.install(progress)
    root = paths.cache() / "base" / "root"
    with locked(root.parent, lambda: progress.note("waiting for another base image")):
        if not file.exists():
            _discard(root)
            with progress.step("making the base image with debootstrap", 55):
                _debootstrap(root)
                _pack(root, file)
            _discard(root)
    return file


def _discard(root: Path) -> None:
    """Remove a root folder; a killed debootstrap leaves /proc mounted in it."""
    clear.unmount(root)
    if root.exists():
        shutil.rmtree(root)


def _debootstrap(root: Path) -> None:
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(_BASE_PACKAGES)}"]
    try:
        run([*command, versions.DEBIAN_SUITE, root, *_mirror()], timeout=1200)
    except CommandFailed as error:
        log = root / "debootstrap" / "debootstrap.log"
        shown = log.read_text(errors="replace") if log.exists() else error.output
        hint = "Debian's packages must be in reach."
        raise CommandFailed(command, error.code, shown, hint) from None


def _mirror() -> list[str]:
    """Where this machine takes its own packages of the suite from; else debootstrap's default."""
    listing = run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)"])
    pairs = (line.split() for line in listing.splitlines())
    sites = [words[0] for words in pairs if words[1:] == [versions.DEBIAN_SUITE]]
    return sites[:1]


def _pack(root: Path, file: Path) -> None:
    for document in (root / "usr/share/doc").rglob("*"):
        # Licences stay; the rest is for people at a desk.
        if document.name != "copyright" and not document.is_dir():
            document.unlink()
    for tree in _UNNEEDED_TREES:
        shutil.rmtree(root / tree, ignore_errors=True)
    layer = file.with_suffix(".layer")
    layer.parent.mkdir(parents=True, exist_ok=True)
    left_out = [f"--exclude=./{pattern}" for pattern in _UNNEEDED]
    same = ["--sort=name", "--mtime=@0", "--numeric-owner", "--one-file-system"]
    run(["tar", *same, *left_out, "-C", root, "-cf", layer, "."])
    config = {"Cmd": ["/bin/sh"], "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]}
    archive.write_image(file, _base_name(file), layer, config)
