"""What time it is, where the host's clock may jump, be wrong, or have been wrong before a restart.

The wall clock is compared with one that only runs, now and across restarts (Linux' CLOCK_BOOTTIME,
which counts on through all processes of one boot). Events are dated never before the last time that
was surely reached, and purging waits until the clock has run evenly for a while.
"""

from __future__ import annotations

import functools
import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from usage_collector import files
from usage_collector.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

START_WAIT = 3600.0
"""How long (s) the clock must have run evenly after a start before anything is purged."""
JUMP_WAIT = 86_400.0
"""The same after a jump, so that somebody can look into it."""
JUMP_US = 60_000_000
"""What is more is no mere correction."""
AWAY_US = 86_400_000_000
"""After another boot, where nothing tells how long the host was away, more counts as a jump."""

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Moment(msgspec.Struct, frozen=True):
    """What the clocks of a host show: the time (µs), and seconds since that ``boot``."""

    wall: int
    steady: float
    boot: str


class Jump(msgspec.Struct, frozen=True):
    """When a jump was noticed (µs, on the clock as it is since) and how far it went (s)."""

    at: int
    seconds: float


class State(msgspec.Struct, frozen=True):
    """The clocks as they were looked at last.

    ``known`` is the time (µs) that was surely reached, ``wait`` how long (s) purging still waits,
    ``jump`` the last one that was noticed, and ``jumped`` whether that is why it waits.
    """

    moment: Moment
    known: int
    wait: float
    jumped: bool = False
    jump: Jump | None = None


_read_state = msgspec.json.Decoder(State).decode


def started(last: State | None, moment: Moment) -> State:
    """The state at a process' start; ``last`` is that of the process before, where it is known."""
    if last is None:
        return State(moment, moment.wall, START_WAIT)
    if moment.boot == last.moment.boot and moment.steady >= last.moment.steady:
        state = looked(last, moment)
    else:
        away = moment.wall - last.known
        state = _jumped(last, moment, away, 0) if not -JUMP_US <= away <= AWAY_US else last
        known = last.known if state.jumped else max(last.known, moment.wall)
        state = msgspec.structs.replace(state, moment=moment, known=known)
    return msgspec.structs.replace(state, wait=max(state.wait, START_WAIT))


def looked(last: State, moment: Moment) -> State:
    """The state a little later within the same boot."""
    elapsed = max(moment.steady - last.moment.steady, 0.0)
    drift = moment.wall - last.moment.wall - int(elapsed * 1e6)
    if abs(drift) > JUMP_US:
        return _jumped(last, moment, drift, elapsed)
    wait = max(last.wait - elapsed, 0.0)
    jumped = last.jumped and wait > 0
    # As long as a jump is young only the time that passed is sure.
    known = last.known + int(elapsed * 1e6) if jumped else moment.wall
    return State(moment, known, wait, jumped, last.jump)


def _jumped(last: State, moment: Moment, drift: int, elapsed: float) -> State:
    known = last.known + int(elapsed * 1e6)
    return State(moment, known, JUMP_WAIT, jumped=True, jump=Jump(moment.wall, drift / 1e6))


class Clock:
    """The clock of a collector, kept on the disk beside its ledgers."""

    def __init__(self, path: Path, moment: Callable[[], Moment]) -> None:
        self._path = path
        self._moment = moment
        self.jumps = 0
        last = _read(path)
        self.state = self._changed(last, started(last, moment()))

    def now(self) -> int:
        """The time (µs) to date an event by: never before what was surely reached."""
        state, moment = self.state, self._moment()
        return max(moment.wall, state.known + int((moment.steady - state.moment.steady) * 1e6))

    def look(self) -> bool:
        """Compare the clocks, to be done now and then; whether purging may go by them."""
        self.state = self._changed(self.state, looked(self.state, self._moment()))
        return self.state.wait == 0

    def _changed(self, last: State | None, state: State) -> State:
        if state.jump is not None and (last is None or state.jump != last.jump):
            self.jumps += 1
            text = "the clock jumped by %.0f s; nothing is purged for %.0f h"
            _log.warning(text, state.jump.seconds, state.wait / 3600)
        # A full or failing disk is told by whoever stores events.
        with suppress(OSError, StorageUnavailable):
            files.write_durably(self._path, msgspec.json.encode(state))
        return state


def host() -> Moment:
    """What the clocks of this host show."""
    return Moment(time.time_ns() // 1000, time.clock_gettime(time.CLOCK_BOOTTIME), _boot())


@functools.cache
def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def _read(path: Path) -> State | None:
    try:
        return _read_state(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        _log.error("%s cannot be read, so a jump before this start is not noticed: %s", path, error)
        return None
