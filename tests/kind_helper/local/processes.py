"""The cluster's own processes: started detached, recorded, found again and ended.

A process is ours when its record's process id still has the recorded start time, or when it is
one of the programs a cluster runs and its command line names a path inside the cluster's state
folder; never by its bare name, and never a user's `tail` or `kubectl` on those files.
"""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.kind_helper.errors import KindHelperError
from tests.kind_helper.local.layout import Layout
from tests.kind_helper.run import until

_PROGRAMS = frozenset(
    {
        "containerd",
        "containerd-shim-runc-v2",
        "coredns",
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-proxy",
        "kube-scheduler",
        "kubelet",
        "nsenter",
        "runc",
    }
)
_VOLUMES = b"tests.kind_helper.volumes"


@dataclass(frozen=True)
class Record:
    """A process by its id and its start time (clock ticks since boot): ids are used again."""

    pid: int
    started: int


def start_time(pid: int) -> int | None:
    """The start time of a living process; None for one that is gone or only waits to be reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the name in brackets, and may hold blanks and brackets itself.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def alive(record: Record) -> bool:
    """Whether this very process still runs."""
    return start_time(record.pid) == record.started


def owned(command_line: bytes, folder: Path) -> bool:
    """Whether a NUL-separated command line is that of a cluster's program working in `folder`."""
    arguments = command_line.split(b"\0")
    program = Path(os.fsdecode(arguments[0])).name
    ours = program in _PROGRAMS or _VOLUMES in arguments
    return ours and any(f"{folder}/".encode() in argument + b"/" for argument in arguments[1:])


def owned_processes(folder: Path) -> list[int]:
    """The processes of the cluster with this state folder that no record may know of: shims, or
    daemons of a run that was killed before it wrote the record.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command_line = (entry / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if owned(command_line, folder):
            found.append(int(entry.name))
    return found


class Processes:
    """The daemons of one cluster, each with a record and a log in the state folder."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._records = layout.state / "run"
        self._logs = layout.state / "logs"

    def log(self, name: str) -> Path:
        """The log of the process."""
        return self._logs / f"{name}.log"

    def start(
        self,
        name: str,
        command: Sequence[object],
        *,
        namespace: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Record:
        """Start a process that outlives this one, in the network namespace of `namespace`.

        `nsenter` replaces itself by the program, and changes the network namespace only: in a
        mount namespace of its own the container runtime would not see the kubelet's mounts.
        """
        enter = [f"--net={self._layout.namespace_path(namespace)}", "--"] if namespace else []
        words = [*(["nsenter", *enter] if enter else []), *(str(word) for word in command)]
        self._records.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=None if env is None else dict(env),
                cwd=cwd or self._layout.state,
            )
        # The child is not waited for: it outlives us. This keeps Python from warning about it.
        process.returncode = 0
        record = Record(process.pid, start_time(process.pid) or 0)
        part = self._records / f".{name}"
        part.write_text(json.dumps(asdict(record)))
        part.rename(self._records / f"{name}.json")
        return record

    def record(self, name: str) -> Record | None:
        """What is written of the process."""
        try:
            return Record(**json.loads((self._records / f"{name}.json").read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def running(self, name: str) -> bool:
        """Whether the process runs."""
        record = self.record(name)
        return record is not None and alive(record)

    def check(self, name: str) -> None:
        """Raise `KindHelperError` with the end of its log when the process has ended."""
        if not self.running(name):
            lines = self.log(name).read_text(errors="replace").splitlines()[-8:]
            raise KindHelperError(f"{name} has ended:\n" + "\n".join(lines), str(self.log(name)))

    def names(self) -> list[str]:
        """The names of all recorded processes."""
        return sorted(file.stem for file in self._records.glob("*.json"))

    def stop(self, names: Sequence[str]) -> None:
        """End the processes at once and forget them."""
        for name in names:
            record = self.record(name)
            if record and alive(record):
                kill([record.pid])
            (self._records / f"{name}.json").unlink(missing_ok=True)


def kill(pids: Sequence[int], *, seconds: float = 60) -> None:
    """Kill the processes and wait until they are gone.

    Raises `KindHelperError` for one that is still there after `seconds`.
    """
    records = [Record(pid, started) for pid in pids if (started := start_time(pid)) is not None]
    for record in records:
        # It may end by itself between the look and the signal.
        with contextlib.suppress(ProcessLookupError):
            if alive(record):
                os.kill(record.pid, signal.SIGKILL)
    until(
        lambda: not any(alive(record) for record in records),
        "killing " + ", ".join(str(record.pid) for record in records),
        seconds=seconds,
        every=0.02,
        hint="A process in uninterruptible sleep waits for the disk: look at `ps`.",
    )
