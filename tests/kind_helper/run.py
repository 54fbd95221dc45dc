"""Starts programs and waits for them; the one place where failures become `CommandFailed`."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.kind_helper.errors import CommandFailed, KindHelperError


def run(
    command: Sequence[object],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    hint: str = "",
) -> str:
    """Run a program to its end and return what it printed; words are turned into text.

    `timeout` is in seconds. Raises `CommandFailed` when it ends with an error, is missing or
    takes too long.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            env=env,
            cwd=cwd,
            timeout=timeout,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise CommandFailed(words, 127, f"{words[0]} is not installed", hint) from None
    except subprocess.TimeoutExpired:
        raise CommandFailed(words, 124, f"no end within {timeout:.0f} s", hint) from None
    if done.returncode != 0:
        raise CommandFailed(words, done.returncode, done.stderr + done.stdout, hint)
    return done.stdout


def succeeds(command: Sequence[object], *, timeout: float = 10) -> bool:
    """Whether the program ends well within `timeout` seconds."""
    try:
        run(command, timeout=timeout)
    except CommandFailed:
        return False
    return True


def until(
    check: Callable[[], bool], what: str, *, seconds: float, every: float = 0.1, hint: str = ""
) -> None:
    """Wait until `check` is true, for states of the machine that no one announces.

    `every` is the pause between two looks. A look whose command fails saw nothing: what it asks may
    be busy or not be there yet. Raises `KindHelperError` after `seconds`, with the last failure.
    """
    deadline = time.monotonic() + seconds
    while True:
        failure: CommandFailed | None = None
        try:
            if check():
                return
        except CommandFailed as error:
            failure = error
        if time.monotonic() > deadline:
            raise KindHelperError(f"{what}: not within {seconds:.0f} s", hint) from failure
        time.sleep(every)


@contextmanager
def repeating(action: Callable[[], object], every: float) -> Iterator[None]:
    """Do something again and again while the context lasts, with pauses of `every` seconds.

    What it raises ends it, and is raised at the end of the context.
    """
    end = threading.Event()

    def repeat() -> None:
        while not end.wait(every):
            action()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(repeat)
        try:
            yield
        finally:
            end.set()
            done.result()
