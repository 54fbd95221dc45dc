"""Real processes whose clock the test sets: libfaketime, which Debian has."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tests.collector.debian import needed


def _library() -> Path | None:
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


class HandSet:
    """A clock that stands still until it is set, for processes that go on meanwhile."""

    def __init__(self, file: Path, moment: int) -> None:
        self._file = file
        self._library = needed("faketime", _library)
        self.set(moment)

    def set(self, moment: int) -> None:
        """Everybody has this time (µs) from now on."""
        self._text = f"{datetime.fromtimestamp(moment // 1_000_000, UTC):%Y-%m-%d %H:%M:%S}"
        part = self._file.with_suffix(".part")
        part.write_text(self._text + "\n")
        part.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        """For a process that goes on while the clock is set; what measures durations stays real."""
        return {
            **self._always(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    @property
    def from_now(self) -> dict[str, str]:
        """For a process that is over before the clock is set again; it may sleep.

        The library refuses `clock_nanosleep` where the monotonic clock is left alone.
        """
        return {**self._always(), "FAKETIME": f"@{self._text}"}

    def _always(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "NO_FAKE_STAT": "1", "TZ": "UTC"}
