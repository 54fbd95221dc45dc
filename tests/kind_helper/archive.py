"""Small images made without an engine: one layer, written as a `docker load` archive."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tests.kind_helper import paths
from tests.kind_helper.run import run

PAUSE = "localhost/usage-pause:1"
"""The image that keeps a pod's namespaces."""
BUSYBOX = "localhost/usage-busybox:1"
"""A small shell with sh, wget, nslookup, nc, dd, httpd …; on every node, for tests."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_APPLETS = (
    *("sh", "cat", "cp", "date", "dd", "df", "echo", "env", "grep", "head", "hostname", "httpd"),
    *("id", "ls", "mkdir", "mount", "mv", "nc", "nslookup", "ping", "ps", "rm", "sed", "seq"),
    *("sleep", "sort", "stat", "sync", "tail", "tee", "test", "timeout", "touch", "tr", "true"),
    *("uname", "uniq", "wc", "wget", "xargs", "yes", "false", "find", "kill", "awk", "vi"),
)


def write_layer(
    file: Path, programs: Mapping[str, bytes], links: Mapping[str, str], folders: Sequence[str]
) -> None:
    """Write an uncompressed layer: programs by path, hard links and world-writable folders.

    Parents get entries of their own: an engine that makes them itself may make them private.
    """
    parents = {str(parent) for name in programs for parent in PurePosixPath(name).parents}
    modes = dict.fromkeys(sorted(parents), 493) | dict.fromkeys(folders, 1023)
    with tarfile.open(file, mode="w") as tar:
        for name, mode in modes.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for name, content in programs.items():
            _add(tar, name, content)
        for name, target in links.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode = tarfile.LNKTYPE, target, 0o755
            tar.addfile(entry)


def write_image(file: Path, name: str, layer: Path, config: Mapping[str, Any]) -> None:
    """Write the archive of a one-layer image; the same input gives the same bytes.

    The layer becomes part of the archive and its own file is removed; the archive appears under
    its name only when it is whole.
    """
    with layer.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    document = json.dumps(
        {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    identity = hashlib.sha256(document).hexdigest()
    manifest = [{"Config": f"{identity}.json", "RepoTags": [name], "Layers": [f"{digest}.tar"]}]
    part = file.with_name(f".{file.name}.part")
    with tarfile.open(part, mode="w") as tar, layer.open("rb") as content:
        entry = tarfile.TarInfo(f"{digest}.tar")
        entry.size = layer.stat().st_size
        tar.addfile(entry, content)
        _add(tar, f"{identity}.json", document)
        _add(tar, "manifest.json", json.dumps(manifest).encode())
    layer.unlink()
    part.rename(file)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o755
    tar.addfile(entry, io.BytesIO(content))


def _kept(name: str, key: bytes) -> Path:
    folder = paths.cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}-{hashlib.sha256(key).hexdigest()[:10]}.tar"


def pause() -> Path:
    """The archive of the pause image, compiled once into the cache."""
    source = paths.HERE / "pause.c"
    file = _kept("pause", source.read_bytes())
    if not file.exists():
        program, layer = file.with_suffix(".bin"), file.with_suffix(".layer")
        run(["gcc", "-static", "-Os", "-s", "-o", program, source])
        write_layer(layer, {"pause": program.read_bytes()}, {}, ())
        program.unlink()
        write_image(file, PAUSE, layer, {"Entrypoint": ["/pause"]})
    return file


def busybox() -> Path:
    """The archive of the busybox image, from Debian's static busybox, kept in the cache."""
    links = {f"bin/{applet}": "bin/busybox" for applet in _APPLETS}
    program = Path("/bin/busybox").read_bytes()
    file = _kept("busybox", program + " ".join(links).encode())
    if not file.exists():
        layer = file.with_suffix(".layer")
        write_layer(layer, {"bin/busybox": program}, links, ("tmp", "data"))
        config = {"Cmd": ["/bin/sh"], "User": "65532:65532", "Env": ["PATH=/bin"]}
        write_image(file, BUSYBOX, layer, config)
    return file
