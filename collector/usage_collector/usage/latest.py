"""The jobs and sessions that a collector learnt of last, its own and the others'."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usage_collector.periods import rfc3339
from usage_collector.sessions import SECOND
from usage_collector.usage.states import LABELS
from usage_collector.usage.texts import COLUMNS

if TYPE_CHECKING:
    from usage_collector.usage.billing import Line
    from usage_collector.usage.customers import Register
    from usage_collector.usage.states import State
    from usage_collector.usage.store import Store

_NEWEST = f"SELECT seq, {COLUMNS} FROM sessions ORDER BY seq DESC LIMIT ?"  # noqa: S608


def latest(store: Store, count: int, register: Register, now: int) -> list[Line]:
    """The last ones, the newest first by their own time; at ``now`` (µs)."""
    # What others told of comes in between; the newest of a few more are the newest of all.
    states = [store.words.state(row) for row in store.rows(_NEWEST, 2 * count)]
    return [
        _line(state, register, now) for state in sorted(states, key=_moment, reverse=True)[:count]
    ]


def _moment(state: State) -> int:
    return state.received if state.time is None else state.time


def _line(state: State, register: Register, now: int) -> Line:
    labels = dict(zip(LABELS, state.labels, strict=True))
    customer = register.of(labels["customer"], labels["contract"])
    over = "estimated" if state.due <= now else "running"
    return {
        "time": rfc3339(_moment(state)),
        "collector": state.collector,
        **labels,
        "customer": customer.id if customer else labels["customer"],
        "name": customer.details.name if customer else labels["customer"],
        "known": customer is not None,
        "state": "ended" if state.ended else over,
        "warm_up": state.warm_up,
        "seconds": round(state.duration / SECOND, 6),
    }
