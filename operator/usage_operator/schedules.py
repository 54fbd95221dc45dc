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


def following(schedule: str, zone: str, after: dt.datetime) -> dt.datetime | None:
    """Give the first run after a moment; None: the schedule names none, or cannot be read.

    ``schedule`` has five fields or is a word such as @daily, as in the API of CronJobs; its times
    are in ``zone``, an IANA name.
    """
    fields = _WORDS.get(schedule, schedule).replace("?", "*")
    try:
        local = after.astimezone(zoneinfo.ZoneInfo(zone))
        return next(CronSim(fields, local), None)
    except (CronSimError, zoneinfo.ZoneInfoNotFoundError):
        return None


def overdue(schedule: str, zone: str, last: dt.datetime, now: dt.datetime) -> bool:
    """Tell whether the run that follows the last good one should have ended by now."""
    due = following(schedule, zone, last)
    return due is not None and now - due > GRACE
