"""The queue of keys."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_operator import errors, workqueue
from usage_operator.workqueue import WorkQueue, stretched


class Recorder:
    """A handler that records its calls, and works on a key until it is let go.

    The first ``failures`` calls fail instead.
    """

    def __init__(self, failures: int = 0, error: type[Exception] = errors.ApiUnavailable) -> None:
        self.calls: list[str] = []
        self.done: list[str] = []
        self.most = 0
        self.go = asyncio.Event()
        self._failures, self._error = failures, error
        self._changed = asyncio.Condition()

    async def __call__(self, key: str) -> float | None:
        async with self._changed:
            self.calls.append(key)
            self._changed.notify_all()
        if len(self.calls) <= self._failures:
            raise self._error("down")
        self.most = max(self.most, self.calls.count(key) - self.done.count(key))
        await self.go.wait()
        async with self._changed:
            self.done.append(key)
            self._changed.notify_all()
        return None

    async def until(self, *, calls: int = 0, done: int = 0) -> None:
        """Wait for so many calls, or so many that are done."""
        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(
                lambda: len(self.calls) >= calls and len(self.done) >= done
            )


async def test_many_events_are_one_piece_of_work() -> None:
    """A key that is added often before it is worked on is worked on once."""
    handler = Recorder()
    handler.go.set()
    queue = WorkQueue(handler)
    for _ in range(10):
        queue.add("a")
    queue.add("b")
    await handler.until(done=2)
    await queue.close()
    assert sorted(handler.calls) == ["a", "b"]


async def test_an_event_during_work_leads_to_one_more_round() -> None:
    """No event is lost, and no key is ever worked on twice at a time."""
    handler = Recorder()
    queue = WorkQueue(handler)
    queue.add("a")
    await handler.until(calls=1)
    for _ in range(5):
        queue.add("a")
    handler.go.set()
    await handler.until(done=2)
    await queue.close()
    assert handler.calls == ["a", "a"]
    assert handler.most == 1


async def test_failures_are_repeated_with_growing_waits() -> None:
    """A handler that fails is called again; success forgets the failures."""
    handler = Recorder(failures=2)
    handler.go.set()
    queue = WorkQueue(handler, jitter=lambda: 1.0)
    began = asyncio.get_running_loop().time()
    queue.add("a")
    await handler.until(done=1)
    assert handler.calls == ["a", "a", "a"]
    assert asyncio.get_running_loop().time() - began >= 0.25 + 0.5
    await queue.close()
    assert queue.failures("a") == 0


async def test_an_unexpected_error_is_a_failure_too() -> None:
    """A bug with one resource keeps neither it nor the others from being tried."""
    handler = Recorder(failures=1, error=KeyError)
    handler.go.set()
    queue = WorkQueue(handler)
    queue.add("bad")
    queue.add("good")
    await handler.until(done=2)
    await queue.close()
    assert sorted(handler.calls) == ["bad", "bad", "good"]


async def test_closing_lets_work_in_hand_finish() -> None:
    """What is being done is finished, what waits is dropped, nothing new is taken."""
    handler = Recorder()
    queue = WorkQueue(handler)
    queue.add("a")
    await handler.until(calls=1)
    queue.add("later", after=100)
    asyncio.get_running_loop().call_soon(handler.go.set)
    await queue.close()
    queue.add("new")
    assert handler.calls == handler.done == ["a"]


async def test_what_changed_goes_first() -> None:
    """A change among many that are only looked at again waits for one of them, not for all."""
    handler = Recorder()
    queue = WorkQueue(handler, workers=1)
    for key in "abcdefgh":
        queue.add(key)
    await handler.until(calls=1)
    # All of them stand in line when the changes come: two that wait, one that is new.
    for key in ("h", "new", "g"):
        queue.add(key, urgent=True)
    queue.add("h", urgent=True)
    handler.go.set()
    await handler.until(done=9)
    await queue.close()
    assert handler.calls[0] == "a"
    assert handler.calls[1:4] == ["h", "g", "new"]
    assert sorted(handler.calls) == sorted([*"abcdefgh", "new"])


async def test_nothing_waits_for_ever() -> None:
    """While changes come and come, now and then one that did not change is looked at."""
    handler = Recorder()
    queue = WorkQueue(handler, workers=1)
    for number in range(20):
        queue.add(f"urgent {number}", urgent=True)
    queue.add("routine")
    handler.go.set()
    await handler.until(done=21)
    await queue.close()
    assert "routine" in handler.calls[:18]


async def test_no_more_workers_than_there_should_be() -> None:
    """The others wait in line, and are counted."""
    handler = Recorder()
    queue = WorkQueue(handler, workers=2)
    for key in "abcde":
        queue.add(key)
    await handler.until(calls=2)
    assert (handler.calls, len(queue)) == (["a", "b"], 5)
    handler.go.set()
    await handler.until(done=5)
    await queue.close()


@given(
    st.integers(1, 100),
    st.none() | st.floats(0.1, 1000),
    st.floats(0, 1),
)
def test_backoff(failures: int, retry_after: float | None, jitter: float) -> None:
    """Waits are bounded, never shorter than the server asks for, and differ by jitter."""
    wait = workqueue.backoff(failures, retry_after, jitter)
    assert wait >= max(workqueue.FIRST_WAIT / 2, retry_after or 0)
    assert wait <= max(workqueue.LONGEST_WAIT, (retry_after or 0) * 1.1)


def test_backoff_doubles() -> None:
    """Without jitter each wait is twice the last."""
    waits = [workqueue.backoff(failures, None, 0) for failures in range(1, 5)]
    assert waits == pytest.approx([0.5, 1, 2, 4])


@pytest.mark.parametrize(
    ("wait", "load", "expected"), [(5, 0, 5), (5, 1, 10), (5, 100, 60), (55, 3, 60), (600, 9, 600)]
)
def test_who_was_looked_at_gives_way(wait: float, load: float, expected: float) -> None:
    """While others wait for a worker, looks without cause are put off, for a minute at most."""
    assert stretched(wait, load) == expected
