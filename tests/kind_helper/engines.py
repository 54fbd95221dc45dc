"""What builds images here: docker or podman where an engine answers, else buildah as root."""

import configparser
import contextlib
import io
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.kind_helper import paths
from tests.kind_helper.errors import CommandFailed
from tests.kind_helper.run import run, succeeds

_PIP_FILE = "/etc/pip.conf"
_MOUNTED = "/run/usage-build"


def running_engine() -> str | None:
    """`docker` or `podman` where it really answers; an installed client alone does not count."""
    for engine in ("docker", "podman"):
        if shutil.which(engine) and succeeds([engine, "info"], timeout=15):
            return engine
    return None


def pip_settings(listing: str) -> dict[str, str]:
    """The settings for `pip install` in what `pip config list` prints; the environment wins."""
    order = {"global": 0, "install": 1, ":env:": 2}
    found: dict[str, tuple[int, str]] = {}
    for line in listing.splitlines():
        name, equals, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if not equals or section not in order or key in ("config-file", "require-virtualenv"):
            continue
        if key not in found or found[key][0] <= order[section]:
            found[key] = (order[section], value.strip().strip("'\"").replace("\\n", "\n"))
    return {key: value for key, (_, value) in found.items() if value}


def pip_file(settings: Mapping[str, str]) -> str:
    """The settings as a pip configuration file."""
    parser = configparser.RawConfigParser()
    parser["global"] = dict(settings)
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def local_paths(settings: Mapping[str, str]) -> list[str]:
    """The files and folders of this machine that the settings name."""
    words = (word for value in settings.values() for word in value.split())
    return sorted({word for word in words if word.startswith("/") and Path(word).exists()})


def inside(settings: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The settings as they read inside a build, and the files to mount there: source to target.

    This machine's paths are replaced, or they would stay in a layer as empty folders.
    """
    targets = {path: f"{_MOUNTED}/{n}" for n, path in enumerate(local_paths(settings))}
    moved = {
        key: "\n".join(targets.get(word, word) for word in value.split())
        for key, value in settings.items()
    }
    return moved, targets


def _pip_listing() -> str:
    for pip in ([sys.executable, "-m", "pip"], ["pip"], ["pip3"]):
        with contextlib.suppress(CommandFailed):
            return run([*pip, "config", "list"], timeout=60)
    # No pip at all on this machine, so no settings of its own either.
    return ""


def mounts(folder: Path) -> list[str]:
    """The read-only `--volume` flags that lend a build this machine's pip configuration.

    The configuration is written to a file in `folder`, which must live as long as the build.
    """
    settings, targets = inside(pip_settings(_pip_listing()))
    file = folder / "pip.conf"
    file.touch(mode=0o600)
    file.write_text(pip_file(settings))
    return [f"--volume={a}:{b}:ro" for a, b in {str(file): _PIP_FILE, **targets}.items()]


def buildah() -> list[str]:
    """buildah with a storage of its own in the cache."""
    store = paths.cache() / "buildah"
    folders = [f"--root={store / 'storage'}", f"--runroot={store / 'run'}"]
    return ["buildah", *folders, "--storage-driver=overlay"]


def build_command(
    engine: str, containerfile: Path, tag: str, base: str | None, mounted: Sequence[str]
) -> list[str]:
    """The command that builds an image from the repository's root.

    Docker cannot mount folders in a build: there pip is left to the engine's own network.
    """
    chosen = [f"--build-arg=BASE_IMAGE={base}"] if base else []
    common = ["--network=host", *chosen, f"--file={containerfile}", f"--tag={tag}"]
    context = str(paths.REPOSITORY)
    if engine == "docker":
        return ["docker", "build", *common, context]
    if engine == "podman":
        return ["podman", "build", *mounted, *common, context]
    isolated = ["--isolation=chroot", "--pull=never", "--layers=false"]
    return [*buildah(), "bud", *isolated, *mounted, *common, context]


def save_command(engine: str, tag: str, file: Path) -> list[str]:
    """The command that writes a built image as a docker archive."""
    if engine == "docker":
        return ["docker", "save", f"--output={file}", tag]
    if engine == "podman":
        return ["podman", "save", "--format=docker-archive", f"--output={file}", tag]
    return [*buildah(), "push", tag, f"docker-archive:{file}:{tag}"]
