"""Small images made without an engine: one layer, written as a `docker load` archive."""

import hashlib
import io
import json
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

_APPLETS = (
    *("sh", "cat", "cp", "date", "dd", "df", "echo", "env", "grep", "head", "hostname", "httpd"),
    *("id", "ls", "mkdir", "mount", "mv", "nc", "nslookup", "ping", "ps", "rm", "sed", "seq"),
    *("sleep", "sort", "stat", "sync", "tail", "tee", "test", "timeout", "touch", "tr", "true"),
    *("uname", "uniq", "wc", "wget", "xargs", "yes", "false", "find", "kill", "awk", "vi"),
)


def layer(files: Mapping[str, bytes], links: Mapping[str, str], folders: Sequence[str]) -> bytes:
    """An uncompressed layer: programs by path, hard links and world-writable folders.

    Parents get entries of their own: an engine that makes them itself may make them private.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        parents = {str(parent) for name in files for parent in PurePosixPath(name).parents}
        modes = {parent: 0o755 for parent in sorted(parents)} | {name: 0o1777 for name in folders}
        for name, mode in modes.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
        for name, target in links.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode = tarfile.LNKTYPE, target, 0o755
            tar.addfile(entry)
    return buffer.getvalue()


def image_archive(name: str, content: bytes, config: Mapping[str, Any]) -> bytes:
    """The archive of a one-layer image; the same input gives the same bytes."""
    digest = hashlib.sha256(content).hexdigest()
    document = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    identity = hashlib.sha256(document).hexdigest()
    manifest = [{"Config": f"{identity}.json", "RepoTags": [name], "Layers": [f"{digest}.tar"]}]
    members = {
        f"{digest}.tar": content,
        f"{identity}.json": document,
        "manifest.json": json.dumps(manifest).encode(),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for file, data in members.items():
            entry = tarfile.TarInfo(file)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _kept(file: Path, content: bytes) -> Path:
    part = file.with_name(f".{file.name}.part")
    part.write_bytes(content)
    part.rename(file)
    return file


def pause() -> Path:
    """The archive of the pause image, compiled once into the cache."""
    source = paths.HERE / "pause.c"
    key = hashlib.sha256(source.read_bytes()).hexdigest()[:10]
    file = paths.cache() / "images" / f"pause-{key}.tar"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        program = file.with_suffix(".bin")
        run(["gcc", "-static", "-Os", "-s", "-o", program, source])
        content = layer({"pause": program.read_bytes()}, {}, ())
        _kept(file, image_archive(PAUSE, content, {"Entrypoint": ["/pause"]}))
        program.unlink()
    return file


def busybox() -> Path:
    """The archive of the busybox image, from Debian's static busybox, kept in the cache."""
    links = {f"bin/{applet}": "bin/busybox" for applet in _APPLETS}
    program = Path("/bin/busybox").read_bytes()
    content = layer({"bin/busybox": program}, links, ("tmp", "data"))
    file = paths.cache() / "images" / f"busybox-{hashlib.sha256(content).hexdigest()[:10]}.tar"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        config = {"Cmd": ["/bin/sh"], "User": "65532:65532", "Env": ["PATH=/bin"]}
        _kept(file, image_archive(BUSYBOX, content, config))
    return file
