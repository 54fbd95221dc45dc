"""Periods, due dates and windows."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_collector.errors import InvalidInput
from usage_collector.periods import (
    Due,
    Period,
    Window,
    due_at,
    due_periods,
    microseconds,
    moment,
    next_due,
    parse_window,
)

MONTHS = st.builds(Period, st.integers(1971, 2200), st.integers(1, 12))


def us(*parts: int) -> int:
    """Microseconds of a moment in UTC."""
    return microseconds(datetime(*parts, tzinfo=UTC))  # type: ignore[arg-type, misc]


@given(MONTHS)
def test_months_follow_each_other_without_gap(period: Period) -> None:
    """A month ends where the next begins, and its text reads back as itself."""
    assert period.end == period.next.start
    assert period.next.previous == period
    assert Period.parse(str(period)) == period
    assert Period.of(moment(period.start)) == Period.of(moment(period.end - 1)) == period


@pytest.mark.parametrize(
    "text", ["2026-13", "2026-00", "2026-1", "26-01", "2026/01", "", "²026-01"]
)
def test_what_is_no_month_is_refused(text: str) -> None:
    """Only YYYY-MM is a month."""
    with pytest.raises(InvalidInput, match="YYYY-MM"):
        Period.parse(text)


@pytest.mark.parametrize(
    ("period", "rule", "expected"),
    [
        ("2026-10", Due(), datetime(2026, 10, 30, 6, tzinfo=UTC)),
        ("2026-05", Due(), datetime(2026, 5, 29, 6, tzinfo=UTC)),
        ("2026-09", Due(), datetime(2026, 9, 30, 6, tzinfo=UTC)),
        ("2027-12", Due(country="DE"), datetime(2027, 12, 31, 6, tzinfo=UTC)),
        ("2028-04", Due(), datetime(2028, 4, 28, 6, tzinfo=UTC)),
        (
            "2026-12",
            Due(dates=frozenset({date(2026, 12, 31), date(2026, 12, 30)})),
            datetime(2026, 12, 29, 6, tzinfo=UTC),
        ),
        ("2026-12", Due(day=3), datetime(2027, 1, 3, 6, tzinfo=UTC)),
        (
            "2026-10",
            Due(at=time(0, 30), zone=ZoneInfo("Asia/Tokyo")),
            datetime(2026, 10, 29, 15, 30, tzinfo=UTC),
        ),
    ],
)
def test_a_report_is_due_on_the_last_working_day_or_a_day_after(
    period: str, rule: Due, expected: datetime
) -> None:
    """Weekends, public holidays and own dates are no working days; times are local."""
    assert due_at(Period.parse(period), rule) == expected


def test_a_public_holiday_is_no_working_day() -> None:
    """Where the month ends with a public holiday the report is due before it."""
    assert due_at(Period(2029, 4), Due(country="DE")).day == 30
    assert due_at(Period(2027, 5), Due(country="US")).day == 28
    assert due_at(Period(2032, 5), Due(country="US")).day == 28


def test_a_weekend_is_that_of_the_country() -> None:
    """Friday the 30th is one in Israel and none in Germany; China works on some Saturdays."""
    october = Period(2026, 10)
    days = {country: due_at(october, Due(country=country)).day for country in ("DE", "IL", "SA")}
    assert days == {"DE": 30, "IL": 29, "SA": 29}
    assert due_at(Period(2026, 2), Due(country="CN")).day == 28


@given(MONTHS, st.one_of(st.just("LastWorkingDay"), st.integers(1, 28)), st.integers(0, 10**7))
def test_what_is_due_next_is_the_first_that_is_not_due_yet(
    first: Period, day: object, seconds: int
) -> None:
    """`due_periods` and `next_due` meet without gap or overlap at any moment."""
    rule = Due(day=day)  # type: ignore[arg-type]
    now = moment(first.start) + timedelta(seconds=seconds)
    due = due_periods(first.previous, now, rule)
    period, when = next_due(now, rule)
    assert when > now
    assert all(due_at(one, rule) <= now for one in due)
    if due:
        assert due[-1].next == period


@pytest.mark.parametrize("rule", [{"day": 0}, {"day": 29}, {"country": "XX"}])
def test_an_impossible_rule_is_refused(rule: dict[str, object]) -> None:
    """A day that some month lacks and an unknown country are refused."""
    with pytest.raises(InvalidInput):
        Due(**rule)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (None, None, Window(None, None)),
        ("2026-10-01", None, Window(us(2026, 10, 1), None)),
        (None, "2026-10-01", Window(None, us(2026, 10, 2) - 1)),
        ("2026-10-01T00:00:00Z", "2026-10-01T00:00:00Z", None),
        ("2026-10-01T02:00:00+02:00", "2026-10-01T00:00:00.999999", None),
        ("2026-09-30T22:00:00-0200", "2026-10-01T00:00:00.9999999Z", None),
        ("2026-10-01 00:00", "2026-10-01T00:00", None),
    ],
)
def test_windows_are_inclusive(
    since: str | None, until: str | None, expected: Window | None
) -> None:
    """Dates are whole days, seconds whole seconds, zones are converted, none is UTC."""
    same = Window(us(2026, 10, 1), us(2026, 10, 1) + 999_999)
    assert parse_window(since, until) == (expected or same)


def test_an_exact_fraction_is_an_exact_moment() -> None:
    """An `until` with a fraction ends there; what is finer than a microsecond narrows."""
    window = parse_window("2026-10-01T00:00:00.0000001Z", "2026-10-01T00:00:00.5000009Z")
    assert window == Window(us(2026, 10, 1) + 1, us(2026, 10, 1) + 500_000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-02-30",
        "2026-10-01T24:00:00Z",
        "2026-10-01T00:00:00+25:00",
        "2026-W40",
        "20261001",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_a_bad_time_names_its_parameter(text: str) -> None:
    """Whatever is no date or time is refused, naming since or until."""
    with pytest.raises(InvalidInput, match="since: "):
        parse_window(text, None)
    with pytest.raises(InvalidInput, match="until: "):
        parse_window(None, text)


def test_since_after_until_is_refused() -> None:
    """A window that ends before it begins is refused."""
    with pytest.raises(InvalidInput, match="since 2026-10-02 is after until 2026-10-01"):
        parse_window("2026-10-02", "2026-10-01")


@given(st.integers(0, 253_402_300_799_999_999), st.integers(0, 10**12))
def test_windows_read_back_as_themselves(start: int, length: int) -> None:
    """What a window writes into a package is the same window when it is read."""
    window = Window(start, min(start + length, 253_402_300_799_999_999))
    assert parse_window(window.since, window.until) == window
