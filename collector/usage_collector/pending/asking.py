"""Asks the vendor for what is pending until it is known, patiently, and stores what it says."""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from usage_collector.errors import UsageError, VendorUnavailable
from usage_collector.periods import Period, moment, rfc3339
from usage_collector.vendors.assemblyai import notices

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from usage_collector.pending.finding import Finder, Pending
    from usage_collector.vendors.assemblyai.transcripts import Transcripts

_log = logging.getLogger(__name__)

AT_ONCE = 8
"""Transcripts asked for at a time; one alone while the vendor is in trouble."""
LOOK_SECONDS = 30.0
"""How often the ledgers are looked at when nobody says that there is something new."""
PACE_SECONDS = 0.2
"""Between two looks at least."""
MOST_SECONDS = 600.0
REFUSED_SECONDS = 60.0
MOST_REFUSED_SECONDS = 6 * 3600.0
LATE_SECONDS = 3600.0
"""What is pending for longer needs somebody."""


@dataclass(slots=True)
class Try:
    """How asking for one transcript went so far; ``answers`` were all of no use."""

    answers: int = 0
    problem: str = ""
    refused: bool = False


def remembered_from(now: int, cuts: Sequence[int]) -> int:
    """From when on (µs) whatever was counted is known to the month that takes in what comes now.

    A month knows what the two before it counted. One that is cut now is this month's or the next,
    so that what came in the month before this one, or in this, is safe; unless months were cut
    late: then only what came since the last ``cuts`` (µs) but one.
    """
    return max([Period.of(moment(now)).previous.start, *cuts[-2:-1]])


def delay(answers: int, *, refused: bool) -> float:
    """Seconds until the next attempt after so many, without the jitter: each twice the last."""
    first, most = (REFUSED_SECONDS, MOST_REFUSED_SECONDS) if refused else (1.0, MOST_SECONDS)
    return float(min(first * 2 ** min(answers - 1, 20), most))


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(1, 1.2)  # noqa: S311 - not less than was asked for


class Desk:
    """Asks for all that is pending; ``store`` makes an event durable, ``now`` is in µs.

    ``counted`` says whether any collector has counted a job, None while it cannot be told; which
    of them did so later than the time it is given (µs) need not be known.
    """

    def __init__(
        self,
        finder: Finder,
        transcripts: Transcripts,
        store: Callable[[bytes], Awaitable[None]],
        now: Callable[[], int],
        counted: Callable[[bytes, int], bool | None] = lambda _, __: False,
    ) -> None:
        self._counted = counted
        self._finder = finder
        self._transcripts = transcripts
        self._store = store
        self._now = now
        self._tries: dict[bytes, Try] = {}
        self._queue: list[tuple[float, bytes]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._failures = 0
        self._resume_at = 0.0
        self._problem = ""
        self._all_refused = False
        self._key: object = None

    def wake(self) -> None:
        """Something new is pending."""
        self._woken.set()

    async def run(self) -> None:
        """Go on until cancelled."""
        try:
            while True:
                self._woken.clear()
                await self._look()
                self._enqueue()
                if self._key != (key := self._transcripts.key_stamp):
                    self._key, self._resume_at = key, 0.0
                self._start_due()
                await self._rest()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._transcripts.close()
            self._finder.save()

    async def _look(self) -> None:
        try:
            await asyncio.to_thread(self._finder.look)
        except Exception:
            # Whatever it is: what is known to be pending is asked for, and the next look may work.
            _log.exception("what is pending cannot be found out at the moment")

    def lines(self) -> list[dict[str, object]]:
        """What is pending, the oldest first."""
        found = sorted(self._finder.pending.items(), key=lambda item: item[1].received)
        return [self._line(identity, one) for identity, one in found]

    def count(self) -> int | None:
        """How many are pending; None while there are events that were not looked at."""
        return self.number() if self._finder.is_complete() else None

    def number(self) -> int:
        """How many are pending, as far as was looked."""
        return len(self._finder.pending)

    def summary(self) -> tuple[int, int, str] | None:
        """How many are pending, since when (µs) the oldest is, and what is in the way."""
        pending = list(self._finder.pending.items())
        if not pending:
            return None
        identity, oldest = min(pending, key=lambda item: item[1].received)
        known = self._tries.get(identity)
        return len(pending), oldest.received, self._problem or (known.problem if known else "")

    def stuck(self) -> int:
        """How many need somebody: refused by the vendor, or pending for long."""
        late = self._now() - LATE_SECONDS * 1e6
        return sum(
            self._all_refused or one.received < late or self._tries.get(identity, Try()).refused
            for identity, one in list(self._finder.pending.items())
        )

    def _line(self, identity: bytes, one: Pending) -> dict[str, object]:
        notice, known = one.notice, self._tries.get(identity, Try())
        return {
            "vendor": notices.VENDOR,
            "transcript_id": notice.transcript,
            "customer_id": notice.customer,
            "contract_id": notice.contract,
            "dimensions": notice.dimensions,
            "since": rfc3339(one.received),
            "answers": known.answers,
            "problem": self._problem or known.problem,
        }

    def _enqueue(self) -> None:
        pending = self._finder.pending
        for identity in [one for one in list(pending) if one not in self._tries]:
            self._tries[identity] = Try()
            heapq.heappush(self._queue, (0.0, identity))
        for identity in [one for one in self._tries if one not in pending]:
            del self._tries[identity]

    def _start_due(self) -> None:
        now = time.monotonic()
        most = 1 if self._failures else AT_ONCE
        while self._queue and len(self._tasks) < most and now >= self._next():
            _, identity = heapq.heappop(self._queue)
            one = self._finder.pending.get(identity)
            if one is not None:
                task = asyncio.create_task(self._ask(identity, one))
                self._tasks.add(task)
                task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            if error := task.exception():
                _log.error("asking for a transcript failed", exc_info=error)
            self._start_due()
            self._woken.set()

    async def _is_new(self, identity: bytes, received: int, known: Try) -> bool:
        """Whether no other collector counted it in a month that no month looks back to any more."""
        cuts = await asyncio.to_thread(self._finder.cuts)
        remembered = remembered_from(self._now(), cuts)
        if received >= remembered:
            return True
        counted = await asyncio.to_thread(self._counted, identity, remembered)
        if counted:
            _log.info("a transcript of months ago was counted by another collector")
            self._finder.settle(identity)
        elif counted is None:
            known.problem = "another collector may have counted it, and not all of them were heard"
            self._again(identity, LOOK_SECONDS)
        return counted is False

    def _next(self) -> float:
        return max(self._queue[0][0], self._resume_at)

    async def _rest(self) -> None:
        await asyncio.sleep(PACE_SECONDS)
        busy = len(self._tasks) >= (1 if self._failures else AT_ONCE)
        until = self._next() - time.monotonic() if self._queue and not busy else LOOK_SECONDS
        try:
            async with asyncio.timeout(max(min(until, LOOK_SECONDS), 0)):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _ask(self, identity: bytes, one: Pending) -> None:
        """One attempt; whatever comes of it, the transcript is settled or in the queue again."""
        known = self._tries.setdefault(identity, Try())
        wait = None
        try:
            if not await self._is_new(identity, one.received, known):
                return
            transcript = await self._transcripts.get(one.notice.transcript)
            self._answered(known, "AssemblyAI does not know its duration yet", refused=False)
            outcome = one.notice.outcome(transcript, one.received)
            if outcome is not None:
                known.problem = "it could not be stored"
                await self._store(outcome)
                self._finder.settle(identity)
                return
        except VendorUnavailable as error:
            wait = self._refused(error, known, one.notice.transcript)
        except UsageError as error:
            known.problem = str(error)
        except BaseException:
            known.problem = "it could not be read"
            self._again(identity, MOST_SECONDS)
            raise
        if wait is None:
            wait = _jittered(delay(known.answers, refused=known.refused))
        self._again(identity, wait)

    def _again(self, identity: bytes, seconds: float) -> None:
        heapq.heappush(self._queue, (time.monotonic() + seconds, identity))

    def _refused(self, error: VendorUnavailable, known: Try, transcript: str) -> float | None:
        """Note what is in the way; None: the transcript waits for as long as others do."""
        text = str(error)
        if not error.general:
            if error.refused and not known.refused:
                _log.error("transcript %s is not counted: %s", transcript, text)
            self._answered(known, text, refused=error.refused)
            return None
        if text != self._problem:
            _log.error("transcripts are not counted for now: %s", text)
        self._problem, self._all_refused = text, error.refused
        now = time.monotonic()
        # What was under way when it began is the same trouble, not more of it.
        if now >= self._resume_at:
            self._failures += 1
        seconds = error.seconds or delay(self._failures, refused=False)
        self._resume_at = max(self._resume_at, now + _jittered(seconds))
        return 0.0

    def _answered(self, known: Try, problem: str, *, refused: bool) -> None:
        """The vendor can be asked, and said that of a transcript."""
        if self._problem:
            _log.info("transcripts are counted again")
        self._problem, self._failures, self._all_refused = "", 0, False
        known.answers += 1
        known.problem, known.refused = problem, refused
