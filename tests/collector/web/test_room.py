"""Room for large bodies."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_collector.errors import StorageUnavailable
from usage_collector.web import room
from usage_collector.web.room import Room


async def _use(place: Room, sizes: list[int], held: list[int], most: list[int]) -> None:
    with place.lease() as lease:
        await lease.grow(max(sizes))
        for size in sorted(sizes, reverse=True):
            lease.shrink(size)
            held.append(size)
            most.append(sum(held))
            await asyncio.sleep(0)
            held.remove(size)


@given(st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=2), max_size=12))
async def test_no_more_is_held_than_there_is_and_all_of_it_comes_back(
    requests: list[list[int]],
) -> None:
    """Whatever is asked for at once, it is handed out up to the size, and everybody is served."""
    place, held, most = Room(200), list[int](), [0]
    await asyncio.gather(*(_use(place, sizes, held, most) for sizes in requests))
    assert max(most) <= 200
    with place.lease() as lease:
        await asyncio.wait_for(lease.grow(200), 1)


async def test_waiting_has_an_end_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who waits too long, or goes away, is told to come again, and keeps no room."""
    monkeypatch.setattr(room, "WAIT_SECONDS", 0.01)
    place = Room(10)
    with place.lease() as first:
        await first.grow(8)
        with place.lease() as second, pytest.raises(StorageUnavailable):
            await second.grow(5)
        waiting = asyncio.create_task(place.take(5))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with place.lease() as third:
            await third.grow(2)
    with place.lease() as lease:
        await lease.grow(10)
