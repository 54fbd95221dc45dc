"""How long work shows that it is alive: steps with what they usually take.

The displays write through a callable that `__main__` gives them; nothing here prints.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console

_STILL_EVERY = 20.0
"""Seconds between two signs of life of a step that takes long, without a terminal."""


class Progress(Protocol):
    """Told what is being done."""

    def note(self, text: str) -> None:
        """Say something once."""

    def step(self, what: str, usual: float | None = None) -> AbstractContextManager[None]:
        """Show a step while it runs; `usual` is how many seconds it normally takes."""


class Silent:
    """Shows nothing; the default for tests and libraries."""

    def note(self, text: str) -> None:
        """Say nothing."""

    @contextmanager
    def step(self, what: str, usual: float | None = None) -> Iterator[None]:
        """Show nothing."""
        yield


def label(what: str, usual: float | None) -> str:
    """The step's text with its usual duration."""
    return what if usual is None else f"{what} (usually {usual:.0f} s)"


class Plain:
    """Lines with the elapsed seconds, for logs and CI."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._start = time.monotonic()

    def note(self, text: str) -> None:
        """Write one line."""
        self._write(f"[{time.monotonic() - self._start:6.1f} s] {text}")

    @contextmanager
    def step(self, what: str, usual: float | None = None) -> Iterator[None]:
        """Write a line at the start, at the end, and now and then in between."""
        begun = time.monotonic()
        over = threading.Event()

        def still() -> None:
            while not over.wait(_STILL_EVERY):
                self.note(f"… still {what}, {time.monotonic() - begun:.0f} s")

        self.note(label(what, usual))
        signs = threading.Thread(target=still, daemon=True)
        signs.start()
        try:
            yield
        finally:
            over.set()
        if time.monotonic() - begun >= 1:
            self.note(f"{what}: done in {time.monotonic() - begun:.1f} s")


class Live:
    """A spinner with the running seconds, for terminals."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def note(self, text: str) -> None:
        """Write one line above the spinner."""
        self._console.print(text, highlight=False, markup=False)

    @contextmanager
    def step(self, what: str, usual: float | None = None) -> Iterator[None]:
        """Spin while the step runs, then leave a line with what it took."""
        begun = time.monotonic()
        over = threading.Event()
        with self._console.status(label(what, usual)) as status:

            def tick() -> None:
                while not over.wait(0.5):
                    status.update(f"{label(what, usual)} {time.monotonic() - begun:.0f} s")

            ticking = threading.Thread(target=tick, daemon=True)
            ticking.start()
            try:
                yield
            finally:
                over.set()
                ticking.join()
        self._console.print(f"[green]✓[/] {what} [dim]{time.monotonic() - begun:.1f} s[/]")
