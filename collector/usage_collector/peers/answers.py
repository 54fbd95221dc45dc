"""What collectors answer on their reporting listeners, as records."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeAlias

import msgspec

Moment: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]


class Ledger(msgspec.Struct, frozen=True):
    """A ledger of a collector; ``began`` is when it was made.

    ``problem`` says why it was closed or cannot be read. ``purged_unsent`` are the first and last
    positions of stretches that were purged although nobody had got them. ``sent`` is the position
    up to which all was, ``lost`` are stretches that a restore did not bring back.
    """

    id: str
    state: str
    began: Moment
    first: int = 0
    last: int = 0
    head: str = ""
    problem: str | None = None
    damaged: bool = False
    readable: bool = True
    purged_unsent: list[tuple[int, int]] = []
    sent: int = 0
    restored: bool = False
    lost: list[tuple[int, int]] = []


class CutFile(msgspec.Struct, frozen=True):
    """One package of a cut: positions ``first`` to ``last`` of a ledger."""

    ledger: str
    first: int
    last: int
    count: int
    batch_jobs: int = 0
    realtime_hours: float = 0.0


class Sent(msgspec.Struct, frozen=True):
    """A file that a receipt names."""

    name: str
    sha256: str


class Receipt(msgspec.Struct, frozen=True):
    """That files were `exported`, `sent` or `acknowledged`, by whom, and when."""

    state: str
    files: list[Sent] = []
    by: str = ""
    at: Moment | None = None


class Cut(msgspec.Struct, frozen=True):
    """A period as a collector fixed it: up to which position of each ledger, and its files.

    ``limits`` are those of each file: `megabytes`, `batch_jobs`, `realtime_hours`.
    ``early_events`` came from the future, by day of their receipt; None where that is not known.
    """

    period: str
    cut_at: Moment
    count: int = 0
    files: list[CutFile] = []
    ends: dict[str, int] = {}
    receipts: list[Receipt] = []
    limits: dict[str, int | float] = {}
    early_events: dict[str, int] | None = None


class Loss(msgspec.Struct, frozen=True):
    """A collector that was there since ``began``, lost what it held, and began ``anew``."""

    collector: str
    began: Moment
    anew: Moment


class Status(msgspec.Struct, frozen=True):
    """A collector, its ledgers and its cuts; ``losses`` are those of any collector it knows of."""

    collector: str
    ledgers: list[Ledger]
    periods: list[Cut]
    zone: str = ""
    losses: list[Loss] = []

    def cut(self, period: str) -> Cut | None:
        """Its cut of that period, None when there is none."""
        return next((cut for cut in self.periods if cut.period == period), None)


class Backup(msgspec.Struct, frozen=True):
    """A backup of a collector, and how many of its events are not in it."""

    place: str
    taken: Moment
    missing_events: int
    verified: Moment | None = None
    verified_ok: bool | None = None
    continuous: bool = False


class Export(msgspec.Struct, frozen=True):
    """The month that is to be delivered next, and when it is due."""

    period: str
    due: Moment


class Notes(msgspec.Struct, frozen=True):
    """What jobs told a collector of its backups and of the next month."""

    backups: list[Backup] = []
    export: Export | None = None


class NewCut(msgspec.Struct, frozen=True):
    """The answer to fixing a cut."""

    period: str
    count: int
    files: list[CutFile]


class Counted(msgspec.Struct, frozen=True):
    """A billing identity of a period: ``id`` in hex, ``duration`` in seconds."""

    id: str
    ledger: str
    position: int
    duration: float
    time: Moment | None = None


class Problem(msgspec.Struct, frozen=True):
    """The body of every error."""

    detail: str = ""
    windows: list[dict[str, object]] = []


# Made here, once: msgspec 0.22 crashes where several threads are the first to decode into a type.
read_status = msgspec.json.Decoder(Status).decode
read_notes = msgspec.json.Decoder(Notes).decode
read_cut = msgspec.json.Decoder(NewCut).decode
read_receipt = msgspec.json.Decoder(Receipt).decode
read_problem = msgspec.json.Decoder(Problem).decode
read_object = msgspec.json.Decoder(dict[str, Any]).decode
