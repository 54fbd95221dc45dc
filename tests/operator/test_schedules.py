"""When backups fall due."""

from __future__ import annotations

import datetime as dt

import pytest

from usage_operator import schedules


def moment(text: str) -> dt.datetime:
    """A moment in UTC."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "found"),
    [
        ("17 2 * * *", "Etc/UTC", "2026-11-05T02:17", "2026-11-06T02:17"),
        ("17 2 * * *", "Etc/UTC", "2026-11-05T02:16", "2026-11-05T02:17"),
        ("0 */6 * * ?", "Etc/UTC", "2026-11-05T02:17", "2026-11-05T06:00"),
        ("30 1 * * MON", "Europe/Berlin", "2026-11-05T02:17", "2026-11-09T00:30"),
        ("30 12 * * *", "Europe/Berlin", "2026-10-24T11:00", "2026-10-25T11:30"),
        ("@hourly", "Etc/UTC", "2026-11-05T02:17", "2026-11-05T03:00"),
        ("@weekly", "Etc/UTC", "2026-11-05T02:17", "2026-11-08T00:00"),
    ],
)
def test_the_next_run(schedule: str, zone: str, after: str, found: str) -> None:
    """As Kubernetes takes schedules: five fields or a word, in a time zone with its summer time."""
    assert schedules.following(schedule, zone, moment(after)) == moment(found)


@pytest.mark.parametrize(
    ("schedule", "flaw"),
    [
        ("often", "1 of 5 fields"),
        ("0 6 * *", "4 of 5 fields"),
        ("99 2 * * *", "minute '99'"),
        ("0 6 1-32 * *", "day of the month '1-32'"),
        ("0 6 * * Munday", "day of the week 'Munday'"),
    ],
)
def test_what_cannot_be_read_is_named(schedule: str, flaw: str) -> None:
    """The field of the schedule, by the name that people know."""
    assert schedules.unreadable(schedule) == flaw


@pytest.mark.parametrize("schedule", ["0 6 * * *", "@daily", "0 0 31 2 *", "*/5 ? 1-7 jan sun-tue"])
def test_what_kubernetes_takes_can_be_read(schedule: str) -> None:
    """Also a day that never comes: some write it for a job that they start themselves."""
    assert schedules.unreadable(schedule) is None


@pytest.mark.parametrize("schedule", ["0 0 31 2 *", "99 * * * *", "a b c d e"])
def test_what_never_runs_is_never_due(schedule: str) -> None:
    """Whoever made the CronJob says what is wrong with its schedule, not an alarm."""
    assert schedules.following(schedule, "Etc/UTC", moment("2026-11-05T02:17")) is None
    last, now = moment("2020-01-01T00:00"), moment("2026-01-01T00:00")
    assert not schedules.overdue(schedule, "Etc/UTC", last, now)
    assert not schedules.overdue("@daily", "No/Where", last, now)


def test_a_run_has_six_hours() -> None:
    """As long as a job may take, a run that is due is not late."""
    last = moment("2026-11-05T02:20")
    rule = ("17 2 * * *", "Etc/UTC", last)
    assert not schedules.overdue(*rule, moment("2026-11-06T08:17"))
    assert schedules.overdue(*rule, moment("2026-11-06T08:18"))
