"""When a CronJob runs next, and when a run should have come long ago."""

from __future__ import annotations

import datetime as dt
import zoneinfo

from cronsim import CronSim, CronSimError

GRACE = dt.timedelta(hours=6)
"""After so long a run that is due is overdue: no job of ours takes longer."""
_WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}

_FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")


def _fields(schedule: str) -> str:
    return _WORDS.get(schedule, schedule).replace("?", "*")


def unreadable(schedule: str) -> str | None:
    """Name the field of a schedule that cannot be read; None: each can by itself.

    A day that never comes, such as 31 February, can: some write it for a job that they start.
    """
    fields = _fields(schedule).split()
    if len(fields) != len(_FIELDS):
        return f"{len(fields)} of {len(_FIELDS)} fields"
    for index, (name, field) in enumerate(zip(_FIELDS, fields, strict=True)):
        alone = ["*"] * len(_FIELDS)
        alone[index] = field
        try:
            CronSim(" ".join(alone), dt.datetime(2000, 1, 1, tzinfo=dt.UTC))
        except CronSimError:
            return f"{name} {field!r}"
    return None


def following(schedule: str, zone: str, after: dt.datetime) -> dt.datetime | None:
    """Give the first run after a moment; None: the schedule names none, or cannot be read.

    ``schedule`` has five fields or is a word such as @daily, as in the API of CronJobs; its times
    are in ``zone``, an IANA name.
    """
    try:
        local = after.astimezone(zoneinfo.ZoneInfo(zone))
        return next(CronSim(_fields(schedule), local), None)
    except (CronSimError, zoneinfo.ZoneInfoNotFoundError):
        return None


def overdue(schedule: str, zone: str, last: dt.datetime, now: dt.datetime) -> bool:
    """Tell whether the run that follows the last good one should have ended by now."""
    due = following(schedule, zone, last)
    return due is not None and now - due > GRACE
