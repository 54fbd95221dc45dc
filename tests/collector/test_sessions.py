"""What one job or session used, against a naive model and by example."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.collector.made import event
from usage_collector import events
from usage_collector.periods import microseconds, rfc3339
from usage_collector.sessions import (
    HOUR,
    OLDEST,
    SECOND,
    Place,
    Session,
    Use,
    is_over,
    resolve,
    use,
)
from usage_collector.usage.states import LABELS, state

if TYPE_CHECKING:
    from collections.abc import Sequence

NOON = microseconds(datetime(2026, 10, 5, 12, tzinfo=UTC))
LATE = NOON + 1000 * HOUR


def told(
    kind: str, seconds: object, minutes: float = 0, session: object = "s", position: int = 1
) -> Use:
    """What an event of that kind, so many minutes after noon, says."""
    stamp = rfc3339(NOON + round(minutes * 60) * SECOND)
    raw = event(session, seconds, event=kind, time_stamp=stamp)
    found = use(events.read(raw), Place("c", "L", position), "z")
    assert found
    return found


def resolved(uses: Sequence[Use], counted_at: int = LATE) -> Session:
    """The session that must come of it."""
    session = resolve(uses, counted_at)
    assert session
    return session


def test_the_longest_duration_wins_and_the_earliest_end_dates_it() -> None:
    """Ends that differ are one session; their durations are listed."""
    session = resolved(
        [
            told("SESSION_ENDED", 60, 5),
            told("SESSION_ENDED", 90.5, 7),
            told("SESSION_STATUS", 30, 1),
        ]
    )
    assert session.duration == 90_500_000
    assert session.time == NOON + 5 * 60 * SECOND
    assert session.durations == [60 * SECOND, 90_500_000]
    assert not session.estimated


def test_a_status_longer_than_the_end_wins() -> None:
    """Durations are cumulative, so what was told once was used."""
    session = resolved([told("SESSION_ENDED", 60, 5), told("SESSION_STATUS", 300, 4)])
    assert session.duration == 300 * SECOND
    assert session.time == NOON + 5 * 60 * SECOND


def test_a_session_without_an_end_is_estimated_once_it_is_quiet() -> None:
    """An hour, or three of its intervals, after its last status; until then it is alive."""
    five = [told("SESSION_STATUS", 300 * n, 5 * n, position=n) for n in (1, 2, 3)]
    last = NOON + 15 * 60 * SECOND
    assert resolve(five, last + HOUR - 1) is None
    session = resolved(five, last + HOUR)
    assert (session.estimated, session.duration, session.time) == (True, 900 * SECOND, last)
    half = [told("SESSION_STATUS", 1800 * n, 30 * n, position=n) for n in (1, 2)]
    last = NOON + 60 * 60 * SECOND
    assert resolve(half, last + 3 * HOUR // 2 - 1) is None
    assert resolve(half, last + 3 * HOUR // 2) is not None


def test_a_session_older_than_two_days_is_over() -> None:
    """However lively it still is."""
    lively = [told("SESSION_STATUS", n, 30 * n, position=n) for n in range(96)]
    assert not is_over(lively, NOON + OLDEST - 1)
    assert is_over(lively, NOON + OLDEST)


def test_a_status_without_a_time_does_not_live_for_ever() -> None:
    """Nothing would ever count it otherwise."""
    raw = event("s", 60, event="SESSION_STATUS", time_stamp="soon")
    found = use(events.read(raw), Place("c", "L", 1), "z")
    assert found
    assert resolved([found], 0).duration == 60 * SECOND


@pytest.mark.parametrize("seconds", [-1, 172_801, 1e300, "long", None])
def test_an_implausible_duration_is_never_counted(seconds: object) -> None:
    """What is no number from 0 to 48 h counts nothing, rather than something wrong."""
    broken = told("TRANSCRIBER_DONE", seconds)
    assert not broken.counts
    assert resolve([broken], LATE) is None
    assert resolved([broken, told("TRANSCRIBER_DONE", 5)]).duration == 5 * SECOND


def test_events_that_say_nothing_of_usage_are_left_out() -> None:
    """Other kinds, and a status of which nobody knows the session."""
    place = Place("c", "L", 1)
    assert use(events.read(event("s", event="LICENSE_CHECKED")), place, "z") is None
    assert use(events.read(event(None, event="SESSION_STATUS")), place, "z") is None
    assert use(events.read(event(None)), place, "z") is not None


@pytest.mark.parametrize("kind", ["TRANSCRIPT_NOTIFIED", "TRANSCRIPT_FAILED"])
def test_a_duration_of_what_is_announced_or_failed_is_not_billed(kind: str) -> None:
    """Whoever posts one with it: only an end or a status is usage."""
    assert resolve([told(kind, 60)], LATE) is None


def test_long_texts_are_told_apart_and_take_little_room() -> None:
    """A client may say megabytes of a customer; what fits is left as it is, and no two are one."""
    said = ["x" * 256, "x" * 1_000_000, "x" * 999_999 + "y", "é" * 257]
    known = [
        state(
            events.read(event("a", customer_id=text, contract_id=text)), Place("c", "L", 1), "z", 0
        )
        for text in said
    ]
    for name in ("customer", "contract"):
        texts = [one.labels[LABELS.index(name)] for one in known if one]
        assert texts[0] == said[0]
        assert {len(text) for text in texts} == {256}
        assert len(set(texts)) == len(said)


def test_a_warm_up_is_told_apart() -> None:
    """It resolves like any job, and says what it is."""
    raw = event("w", contract_id="-77777777777777")
    found = use(events.read(raw), Place("c", "L", 1), "z")
    assert found
    assert resolved([found]).warm_up


USES = st.lists(
    st.builds(
        told,
        st.sampled_from(["TRANSCRIBER_DONE", "SESSION_ENDED", "SESSION_STATUS"]),
        st.sampled_from([0, 1, 2.345, 59.999, 60, 3600.001, -1, 1e9]),
        st.integers(0, 2000),
        st.just("s"),
        st.integers(1, 50),
    ),
    max_size=6,
)


@given(USES, st.randoms(), st.integers(0, 100))
def test_sessions_resolve_as_a_naive_model_says(uses: list[Use], random: object, hour: int) -> None:
    """Whatever the order in which its events are seen."""
    counted_at = NOON + hour * HOUR
    plausible = [one for one in uses if not one.implausible]
    ends = [one for one in plausible if one.kind in ("done", "ended")]
    times = sorted(one.time or 0 for one in plausible)
    gap = max([b - a for a, b in pairwise(times)] or [0])
    over = bool(times) and (
        counted_at - times[-1] >= max(HOUR, 3 * gap) or counted_at - times[0] >= 48 * HOUR
    )
    random.shuffle(uses)  # type: ignore[attr-defined]
    session = resolve(uses, counted_at)
    if not ends and not over:
        assert session is None
        return
    assert session
    assert session.duration == max(one.duration or 0 for one in plausible)
    assert session.estimated == (not ends)
    assert session.time == (min(one.time or 0 for one in ends) if ends else times[-1])
    assert session.durations == sorted({one.duration or 0 for one in ends})
    assert resolve(sorted(uses, key=lambda one: one.place), counted_at) == session
