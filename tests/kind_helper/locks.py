"""One at a time: a lock on a folder, held by at most one process of the machine."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(folder: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of `folder`, which is made when missing; it ends with the process.

    `on_wait` is called once when somebody else holds it.
    """
    descriptor = _take(folder, on_wait)
    try:
        yield
    finally:
        os.close(descriptor)


def _take(folder: Path, on_wait: Callable[[], None]) -> int:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Whoever held it may have removed the folder at the end: then this lock guards nothing.
        if folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat()):
            return descriptor
        os.close(descriptor)
