"""A collector's system calls, as strace saw them: what it read, wrote and flushed, in order."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.collector.debian import lacking, needed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CALLS = "read,recvfrom,write,writev,sendto,sendmsg,pwrite64,ftruncate,fsync,fdatasync"
_FORM = re.compile(r"(?P<name>\w+)\((?P<fd>\d+)<(?P<path>[^>]*)>(?P<rest>.*)", re.DOTALL)
_END_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that has returned; ``data`` is what was read or written, as far as kept."""

    name: str
    descriptor: int
    path: str
    data: bytes
    offset: int


def wrapper(trace: Path, kept: int) -> list[str]:
    """The command that traces another one into that file, ``kept`` bytes of each buffer.

    Skips the test where there is no strace, or where it may not trace; in CI that is a failure.
    """
    needed("strace", lambda: shutil.which("strace"))
    if subprocess.run(["strace", "-o", "/dev/null", "true"], check=False).returncode:
        lacking("strace may not trace processes here")
    options = ["-D", "-f", "-y", "-xx", "-s", str(kept), "-e", f"trace={_CALLS}"]
    return ["strace", *options, "-o", str(trace)]


def calls(trace: Path, pid: int) -> Iterator[Call]:
    """The calls in the order in which they returned; writing to a socket counts from its start.

    So whatever comes before such a write here was over before a byte of it left.
    """
    _wait_for_end(trace, pid)
    begun: dict[str, str] = {}
    for line in trace.read_text("ascii").splitlines():
        thread, _, text = line.partition(" ")
        text = text.strip()
        if text.endswith("<unfinished ...>"):
            text = text.removesuffix("<unfinished ...>").rstrip()
            begun[thread] = text
            if not _sends(text):
                continue
        elif text.startswith("<... "):
            whole = begun.pop(thread, "")
            if _sends(whole):
                continue
            text = whole + text.partition("resumed>")[2]
        if call := _call(text):
            yield call


def _sends(text: str) -> bool:
    return text.startswith(("write", "send")) and "<socket:" in text


def _call(text: str) -> Call | None:
    found = _FORM.fullmatch(text)
    if not found or text.endswith("ERESTARTSYS"):
        return None
    rest = found["rest"]
    data = b"".join(_bytes(part) for part in re.findall(r'"([^"]*)"', rest))
    numbers = re.findall(r", (\d+)", rest.rpartition('"')[2] or rest)
    offset = int(numbers[-1]) if numbers else 0
    return Call(found["name"], int(found["fd"]), _bytes(found["path"]).decode(), data, offset)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", "")) if text.startswith("\\x") else text.encode()


def _wait_for_end(trace: Path, pid: int) -> None:
    deadline = time.monotonic() + _END_SECONDS
    while not re.search(rf"^{pid}\s+\+\+\+ ", trace.read_text("ascii"), re.MULTILINE):
        assert time.monotonic() < deadline, "strace did not see the process end"
        time.sleep(0.05)
