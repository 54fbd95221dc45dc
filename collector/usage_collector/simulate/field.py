"""The field, made up: transcribers, their customers, and the events that they would send.

Pure: one seed always gives the same events. Distributions are plausible, not measured: durations
are log-normal, a few customers and languages make up most of the use.
"""

from __future__ import annotations

import heapq
import json
import uuid
from dataclasses import dataclass
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING

from usage_collector.periods import SECOND, moment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

CUSTOMERS = ("Acme", "Globex", "Initech", "Umbrella", "Hooli", "Stark", "Wayne", "Tyrell")
LANGUAGES = ("en", "de", "fr", "es", "sv", "ja")
FORMATS = ("wav", "mp3", "mp4", "flac", "ogg", "m4a")
_FALLING = (40, 20, 15, 10, 8, 7)
STATUS_EVERY = 300 * SECOND
"""A real-time engine tells of a running session this often (µs)."""
LONGEST = 8 * 3600
"""No session is longer, in seconds."""
WARM_UP = "-77777777777777"
_TYPES = ("transcription", "alignment")


@dataclass(frozen=True, slots=True)
class Told:
    """One event as an engine tells it: its bytes, and what an independent count needs.

    ``at`` is its time stamp and ``duration`` its total received duration, both in µs.
    """

    raw: bytes
    at: int
    kind: str
    session: str
    duration: int
    warm_up: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What to make up: so many jobs and sessions, spread evenly from ``start`` over ``span`` (µs).

    ``engines`` of each kind warm up first. A fraction ``lost`` of sessions never tells its end.
    """

    jobs: int
    sessions: int
    start: int
    span: int
    engines: int = 3
    lost: float = 0.0


@dataclass(frozen=True, slots=True)
class _Engine:
    container: str
    instance: str
    source: str


def _milliseconds(seconds: float) -> int:
    return max(round(seconds * 1000), 1) * (SECOND // 1000)


def _engine(rng: Random, source: str) -> _Engine:
    return _Engine(f"{rng.getrandbits(48):012x}", _uuid(rng), source)


def _uuid(rng: Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _customer(rng: Random) -> str:
    return rng.choices(CUSTOMERS, weights=range(len(CUSTOMERS), 0, -1))[0]


@dataclass(frozen=True, slots=True)
class _Use:
    """What stays the same in all events of one job or session."""

    engine: _Engine
    session: str
    contract: str
    customer: str
    language: str
    point: str
    type: str
    format: str


def _use(rng: Random, engine: _Engine) -> _Use:
    batch = engine.source == "uniasr-batch"
    return _Use(
        engine=engine,
        session=_uuid(rng),
        contract="0",
        customer=_customer(rng),
        language=rng.choices(LANGUAGES, weights=_FALLING)[0],
        point=rng.choice(("standard", "enhanced")),
        type=rng.choices(_TYPES, weights=(97, 3))[0] if batch else "transcription",
        format=rng.choices(FORMATS, weights=_FALLING)[0] if batch else "pcm_s16le",
    )


def _event(use: _Use, kind: str, at: int, duration: int, speech: float) -> Told:
    seconds = duration / SECOND
    body = {
        "container_id": use.engine.container,
        "contract_id": use.contract,
        "customer_id": use.customer,
        "engine_instance_id": use.engine.instance,
        "event": kind,
        "session_id": use.session,
        "source": use.engine.source,
        "time_stamp": f"{moment(at):%Y-%m-%dT%H:%M:%S}.{at % SECOND // 1000:03}Z",
        "event_specific_data": {
            "bit_rate": "256000",
            "channels": 1,
            "codec_name": "pcm_s16le",
            "file_metadata": {},
            "format_name": use.format,
            "inference": "cpu",
            "job_config": {
                "transcription_config": {"language": use.language, "operating_point": use.point},
                "type": use.type,
            },
            "license_id": "b6616911c59c40cbbb32ebf442696a14",
            "rtf": 0.35,
            "sample_rate": "16000",
            "total_received_bytes": round(seconds * 32000),
            "total_received_duration": seconds,
            "total_speech_duration": round(seconds * speech, 3),
        },
    }
    raw = json.dumps(body, separators=(",", ":")).encode()
    return Told(raw, at, kind, use.session, duration, use.contract == WARM_UP)


def _warm_ups(rng: Random, engines: list[_Engine], at: int) -> Iterator[Told]:
    for engine in engines:
        use = _Use(engine, _uuid(rng), WARM_UP, "", "en", "standard", "transcription", "wav")
        kind = "TRANSCRIBER_DONE" if engine.source == "uniasr-batch" else "SESSION_ENDED"
        yield _event(use, kind, at, 2 * SECOND, 0.9)


def _job(rng: Random, engine: _Engine, at: int) -> Told:
    duration = _milliseconds(min(rng.lognormvariate(5.2, 1.1), 4 * 3600))
    return _event(_use(rng, engine), "TRANSCRIBER_DONE", at, duration, rng.uniform(0.6, 0.98))


def _session(rng: Random, engine: _Engine, end: int, lost: float) -> Iterator[Told]:
    duration = _milliseconds(min(rng.lognormvariate(7.1, 0.9), LONGEST))
    use, speech = _use(rng, engine), rng.uniform(0.4, 0.9)
    for heard in range(STATUS_EVERY, duration, STATUS_EVERY):
        yield _event(use, "SESSION_STATUS", end - duration + heard, heard, speech)
    if rng.random() >= lost:
        yield _event(use, "SESSION_ENDED", end, duration, speech)


def timeline(plan: Plan, rng: Random) -> Iterator[Told]:
    """The events in the order in which they would be told.

    Holds only the sessions of some hours: those that may run at the same time.
    """
    batch = [_engine(rng, "uniasr-batch") for _ in range(plan.engines)]
    live = [_engine(rng, "uniasr-rt") for _ in range(plan.engines)]
    yield from _warm_ups(rng, batch + live, plan.start)
    jobs = (_job(rng, rng.choice(batch), at) for at in _ends(plan, plan.jobs))
    yield from heapq.merge(jobs, _sessions(plan, rng, live), key=attrgetter("at"))


def _ends(plan: Plan, number: int) -> Iterator[int]:
    """When they end: evenly over the span."""
    return (plan.start + plan.span * (n + 1) // number for n in range(number))


def _sessions(plan: Plan, rng: Random, engines: list[_Engine]) -> Iterator[Told]:
    waiting: list[tuple[int, int, Told]] = []
    order = count()
    for end in _ends(plan, plan.sessions):
        for told in _session(rng, rng.choice(engines), end, plan.lost):
            heapq.heappush(waiting, (told.at, next(order), told))
        while waiting and waiting[0][0] < end - LONGEST * SECOND:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]
