"""What was found about one resource, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping


class Trouble(NamedTuple):
    """Something that is in the way; the message names it and says what to do."""

    reason: str
    message: str


class Lost(NamedTuple):
    """A collector that lost what it held: began ``anew`` then, others knew of it until ``heard``.

    Both are times as the status has them.
    """

    collector: str
    heard: str
    anew: str


@dataclass(frozen=True, slots=True)
class Said:
    """What a zone's collectors said of themselves: version, share of the fullest volume, size.

    ``volume`` is the fullest one's bytes used and of all; ``full_on`` the day on which it will be.
    ``damaged`` counts the ledgers that they set aside, ``lost`` are those of them that lost what
    they held, and it was neither restored nor told in a month yet; None: none of them said.
    """

    version: str | None = None
    used: str | None = None
    capacity: str | None = None
    volume: tuple[float, float] | None = None
    full_on: str | None = None
    damaged: int | None = None
    lost: tuple[Lost, ...] | None = None


@dataclass(frozen=True, slots=True)
class ZoneFacts:
    """One zone: counts of collectors, and why the first unready one is not ready."""

    name: str
    replicas: int
    ready: int
    leaving: int = 0
    rolling: bool = False
    settling: bool = False
    """Whether what is not ready has only just been made."""
    why: str | None = None
    said: Said | None = None
    waits: str | None = None
    """What its collectors that leave wait for."""


class Proxies(NamedTuple):
    """The proxies: how many are wanted, and how many are as wanted and take connections."""

    wanted: int
    ready: int
    settling: bool
    """Whether they have only just been made."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the export. ``summary`` is what it said at its end, if it got that far."""

    job: str
    started: str
    state: str
    """running, complete or failed"""
    summary: Mapping[str, Any] | None = None
    why: str | None = None
    zone: str | None = None
    """Of a backup: the zone that it is of."""
    request: str | None = None
    """Of a restore: what asked for it."""


class BackupRule(NamedTuple):
    """When backups are taken, and proven every so many days (0: never).

    ``since`` is when the CronJob of each zone was made.
    """

    schedule: str
    time_zone: str
    verify_days: int
    since: Mapping[str, dt.datetime]


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the status is made of."""

    generation: int
    now: dt.datetime
    zones: tuple[ZoneFacts, ...] = ()
    blocked: Trouble | None = None
    """Why nothing is applied; what runs is left alone."""
    paused: bool = False
    troubles: tuple[Trouble, ...] = ()
    export_troubles: tuple[Trouble, ...] = ()
    backup_troubles: tuple[Trouble, ...] = ()
    alert_troubles: tuple[Trouble, ...] = ()
    """What keeps exports, backups and alerts from being done, and nothing else."""
    written: int = 0
    """Steps that serving depends on, taken in this pass: their effect has not been seen yet."""
    waiting: tuple[str, ...] = ()
    window: str | None = None
    """Why what waits may not be done now: there is a maintenance window, and it is closed."""
    unreachable: str | None = None
    """Why nothing could be reached through the Service; None: it was reached, or was before."""
    proxies: Proxies | None = None
    """None where none are wanted."""
    filling: tuple[str, ...] = ()
    """Which volumes are nearly full."""
    damaged: tuple[str, ...] = ()
    """Where ledgers were set aside as damaged."""
    lost: tuple[str, ...] = ()
    """Which collectors lost what they held, and what to do."""
    differing: tuple[str, ...] = ()
    """Which volumes are of another storage class than the spec asks for."""
    idle_discards: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()
    """Runs of the export, newest first."""
    backups: tuple[Run, ...] = ()
    """Runs of the zones' backups, newest first."""
    backed_zones: tuple[str, ...] = ()
    """The zones that are to be backed up."""
    backup_rule: BackupRule | None = None
    """When they are due."""
    near: frozenset[str] = frozenset()
    """Those whose backup lies where their collectors run."""
    behind: tuple[str, ...] = ()
    """Those whose shipper does not run, or does not keep up."""
    restores: tuple[Run, ...] = ()
    """Runs of restores, newest first."""
    restore_waits: tuple[str, ...] = ()
    """Restores that are asked for and have yet to begin, and why."""
    restore_troubles: tuple[str, ...] = ()
    """Why restores that are asked for cannot be run."""
    next_export: tuple[str, str] | None = None
    """Month and time of the export to come."""
    endpoints: tuple[str, str] | None = None
    """Addresses of ingest and reporting."""
    webhooks: str | None = None
    """Address that other vendors notify."""
    ca_bundle: str | None = None
