"""Alerts on disk: which were sent and which wait, and as collectors tell it each other.

What waits was written down before it is first sent, and what was sent right after, so that a
restart neither forgets an alert nor sends it once more.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from typing import TYPE_CHECKING, Literal

import msgspec

from usage_collector import files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

_log = logging.getLogger(__name__)


What = Literal["monthly_hours", "concurrent_sessions"]
"""What a quota may be of, as `policy.Quota` calls it."""


class Alert(msgspec.Struct, frozen=True, array_like=True):
    """A customer that reached a part of its quota in a month; with another quota, another alert."""

    customer: str
    month: str
    what: What
    threshold: float
    quota: float


class Told(msgspec.Struct, frozen=True, array_like=True):
    """An alert that a target (`target`) took, and when (µs)."""

    alert: Alert
    target: str
    at: int


class Waiting(msgspec.Struct, frozen=True, array_like=True):
    """An alert that a target has yet to take: the same bytes at each attempt."""

    alert: Alert
    target: str
    body: str


class _Kept(msgspec.Struct):
    told: list[Told]
    waiting: list[Waiting]


Key = tuple[Alert, str]
_decode = msgspec.json.Decoder(_Kept).decode


def target(url: str) -> str:
    """What an address is called on disk and among collectors; it may hold secrets itself."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


class Book:
    """Keeps ``alerts.json`` in that folder; changes are durable when they return.

    What was sent is known even where that cannot be written; `forget` tries again.
    A file that cannot be read is set aside, and what was sent learnt from the other collectors.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "alerts.json"
        self._lock = threading.Lock()
        self.told: Mapping[Key, Told] = {}
        self.waiting: Mapping[Key, Waiting] = {}
        self._unsaved = False
        self._read()

    def wait(self, new: Iterable[Waiting]) -> None:
        """These are to be sent."""
        with self._lock:
            added = {(one.alert, one.target): one for one in new}
            self._keep(self.told, {**self.waiting, **added})

    def sent(self, one: Waiting, now: int) -> None:
        """That one was taken."""
        self.join([Told(one.alert, one.target, now)])

    def join(self, others: Iterable[Told]) -> None:
        """Take in what was sent, here or by another collector; of two times the earlier holds."""
        with self._lock:
            told = dict(self.told)
            for one in others:
                known = told.get((one.alert, one.target))
                if known is None or one.at < known.at:
                    told[one.alert, one.target] = one
            if told != self.told:
                self._use(told, {key: one for key, one in self.waiting.items() if key not in told})
                self._unsaved = True
                self._keep(self.told, self.waiting)

    def forget(self, before: str, targets: Collection[str]) -> None:
        """Leave out what is of months before that one, and what waits for targets that are gone."""
        with self._lock:
            told = {key: one for key, one in self.told.items() if one.alert.month >= before}
            waiting = {
                key: one
                for key, one in self.waiting.items()
                if one.alert.month >= before and one.target in targets
            }
            if self._unsaved or (told, waiting) != (self.told, self.waiting):
                for key in self.waiting.keys() - waiting.keys():
                    _log.error("an alert was never taken, and is given up: %s", key[0])
                self._keep(told, waiting)

    def news(self, digest: str) -> list[Told]:
        """All that was sent for somebody with that digest; nothing where it is ours."""
        return [] if digest == self.digest else list(self.told.values())

    def _keep(self, told: Mapping[Key, Told], waiting: Mapping[Key, Waiting]) -> None:
        body = msgspec.json.encode(_Kept(list(told.values()), list(waiting.values())))
        files.keep(self._path, body, "the alerts")
        self._unsaved = False
        self._use(told, waiting)

    def _use(self, told: Mapping[Key, Told], waiting: Mapping[Key, Waiting]) -> None:
        self.told, self.waiting = told, waiting
        lines = sorted(msgspec.json.encode(one) for one in told.values())
        self.digest = hashlib.sha256(b"\n".join(lines)).hexdigest()[:32] if lines else ""

    def _read(self) -> None:
        kept = _Kept([], [])
        try:
            kept = _decode(self._path.read_bytes())
        except FileNotFoundError:
            pass
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            aside = self._path.with_suffix(".damaged")
            _log.error("%s cannot be read (%s) and is kept as %s", self._path, error, aside.name)
            self._path.rename(aside)
        self._use(
            {(one.alert, one.target): one for one in kept.told},
            {(one.alert, one.target): one for one in kept.waiting},
        )
